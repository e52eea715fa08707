from psycopg.copy import *
