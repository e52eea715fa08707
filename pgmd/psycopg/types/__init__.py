from psycopg.types import *
