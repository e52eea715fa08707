"""What Django may use of the server."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql.features import DatabaseFeatures as PostgresFeatures


def _if(ability: str) -> Any:
    return property(lambda features: getattr(features.connection.profile, ability))


class DatabaseFeatures(PostgresFeatures):  # type: ignore[misc]
    """PostgreSQL's, without those that DuckDB lacks where it is the server."""

    # DuckDB has no column that depends on the key of its table: a replica, too, wants them all.
    allows_group_by_selected_pks = False

    uses_savepoints = _if("has_savepoints")
    can_release_savepoints = _if("has_savepoints")
    can_defer_constraint_checks = _if("has_deferred_constraints")
    has_select_for_update = _if("has_row_locks")
    has_select_for_update_nowait = _if("has_row_locks")
    has_select_for_update_of = _if("has_row_locks")
    has_select_for_update_skip_locked = _if("has_row_locks")
    has_select_for_no_key_update = _if("has_row_locks")
