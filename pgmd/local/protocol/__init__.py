"""The Postgres protocol as one client speaks it, without any I/O: bytes go in, bytes come out."""
