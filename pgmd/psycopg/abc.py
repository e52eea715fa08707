from psycopg.abc import *
