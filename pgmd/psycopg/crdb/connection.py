from psycopg.crdb.connection import *
