from psycopg_pool.sched_async import *
