from psycopg.rows import *
