"""When two statements of a fan-out are the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from ..request import Query


def identity(query: Query) -> Hashable:
    """What equal statements have in common; None for one that cannot be compared."""
    if not isinstance(query.sql, str | bytes):
        return None
    params = query.params
    values: Hashable = None
    if isinstance(params, Mapping):
        values = frozenset((name, *_exactly(value)) for name, value in params.items())
    elif params is not None:
        values = tuple(map(_exactly, params))
    key = (type(query.sql), query.sql, values, id(query.row_factory))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _exactly(value: Any) -> tuple[Any, ...]:
    """A value that equals only its like: 1 is not True, 0.0 not -0.0, 1.0 not 1.00."""
    return (type(value), value) if type(value) in (str, bytes) else (type(value), value, str(value))
