from psycopg_pool.pool import *
