from psycopg.errors import *
