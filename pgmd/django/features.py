"""What Django may use of the server."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql.features import DatabaseFeatures as PostgresFeatures

from ..servers.profile import Dialect


def _speaks_postgres(features: Any) -> bool:
    return features.connection.dialect is Dialect.POSTGRES


class DatabaseFeatures(PostgresFeatures):  # type: ignore[misc]
    """PostgreSQL's, without those that DuckDB lacks where it is the server."""

    # DuckDB has no column that depends on the key of its table: a replica, too, wants them all.
    allows_group_by_selected_pks = False

    uses_savepoints = property(_speaks_postgres)
    can_release_savepoints = property(_speaks_postgres)
    can_defer_constraint_checks = property(_speaks_postgres)
    has_select_for_update = property(_speaks_postgres)
    has_select_for_update_nowait = property(_speaks_postgres)
    has_select_for_update_of = property(_speaks_postgres)
    has_select_for_update_skip_locked = property(_speaks_postgres)
    has_select_for_no_key_update = property(_speaks_postgres)
