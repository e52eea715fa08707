"""How a database is published, and how those that read it pick that up."""

from __future__ import annotations

from ..sql.quoting import identifier

# The id of a read-scaling duckling ends in `.rs.<n>`, that of the writer in `.rw`: a read-write
# token would otherwise go unnoticed. Undocumented; used by MotherDuck's own MCP server
# (github.com/motherduckdb/mcp-server-motherduck).
IS_READ_SCALING = (
    "SELECT regexp_matches(__md_duckling_id::VARCHAR, '\\.rs\\.\\d+$') "
    "FROM __md_duckling_id() AS t(__md_duckling_id)"
)


def refresh_statement(database: str | None) -> str:
    """What makes a duckling pick the newest snapshot up."""
    return f"REFRESH DATABASE {identifier(database)}" if database else "REFRESH DATABASES"


def publish_statement(database: str | None) -> str:
    """What makes a MotherDuck writer publish; it waits for running writes and blocks new ones."""
    return f"CREATE SNAPSHOT OF {identifier(database or 'my_db')}"
