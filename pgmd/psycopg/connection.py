from psycopg.connection import *
