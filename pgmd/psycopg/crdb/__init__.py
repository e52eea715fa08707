from psycopg.crdb import *
