"""What the drop-in needs of psycopg, whichever colour the connection has."""
