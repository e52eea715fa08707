from psycopg_pool.version import *
