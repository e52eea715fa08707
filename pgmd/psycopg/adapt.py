from psycopg.adapt import *
