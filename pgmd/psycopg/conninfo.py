from psycopg.conninfo import *
