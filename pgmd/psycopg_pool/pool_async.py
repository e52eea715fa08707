from psycopg_pool.pool_async import *
