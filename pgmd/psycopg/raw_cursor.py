from psycopg.raw_cursor import *
