from psycopg.types.numeric import *
