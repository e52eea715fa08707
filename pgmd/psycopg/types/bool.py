from psycopg.types.bool import *
