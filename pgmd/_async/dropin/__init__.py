"""Connections and cursors that programs of psycopg use."""
