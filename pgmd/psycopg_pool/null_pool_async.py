from psycopg_pool.null_pool_async import *
