from psycopg.cursor_async import *
