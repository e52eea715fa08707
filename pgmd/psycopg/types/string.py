from psycopg.types.string import *
