from psycopg.version import *
