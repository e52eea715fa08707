from psycopg.transaction import *
