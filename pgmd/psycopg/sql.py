from psycopg.sql import *
