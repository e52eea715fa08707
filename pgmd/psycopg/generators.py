from psycopg.generators import *
