from psycopg.types.composite import *
