from psycopg.connection_async import *
