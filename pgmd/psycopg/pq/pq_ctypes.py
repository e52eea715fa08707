from psycopg.pq.pq_ctypes import *
