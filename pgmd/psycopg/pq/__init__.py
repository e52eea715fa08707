from psycopg.pq import *
