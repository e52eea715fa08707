"""What one client does in DuckDB: its statements, its cursor, its transaction, its results.

Blocking; the server runs it in a thread, one call at a time. Only a cancel may come from another.
"""
