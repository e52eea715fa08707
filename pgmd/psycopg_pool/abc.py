from psycopg_pool.abc import *
