from psycopg_pool.errors import *
