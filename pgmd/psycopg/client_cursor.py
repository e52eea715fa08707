from psycopg.client_cursor import *
