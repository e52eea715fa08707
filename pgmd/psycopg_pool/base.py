from psycopg_pool.base import *
