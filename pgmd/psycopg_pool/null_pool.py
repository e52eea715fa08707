from psycopg_pool.null_pool import *
