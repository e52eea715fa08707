"""The DuckDB instances behind the local endpoint: the one that writes, and those that read."""
