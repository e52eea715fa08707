from psycopg_pool.base_null_pool import *
