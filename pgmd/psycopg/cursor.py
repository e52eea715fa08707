from psycopg.cursor import *
