from psycopg.types.numpy import *
