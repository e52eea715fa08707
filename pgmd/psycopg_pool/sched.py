from psycopg_pool.sched import *
