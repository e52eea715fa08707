from psycopg.waiting import *
