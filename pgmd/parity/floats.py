"""The text of a float4."""

from __future__ import annotations

import struct


def shortest_float4(value: float) -> float:
    """The double that PostgreSQL's text of this float4 reads as: 1.1, not 1.10000002384."""
    if value != value or value in _NOT_SHORTENED:
        return value
    wanted = _pack(value)
    # Six digits always survive a float4 that is not denormal, so a shorter form is found there.
    for digits in range(6 if abs(value) >= _SMALLEST_NORMAL else 1, 10):
        short = float(f"{value:.{digits}g}")
        try:
            if _pack(short) != wanted:
                continue
        except OverflowError:
            continue
        if short != value and _is_halfway(short, value, wanted):
            # PostgreSQL never prints a number that is as near to a neighbour.
            continue
        return short
    return value


def _is_halfway(short: float, value: float, bits: bytes) -> bool:
    (number,) = _INT.unpack(bits)
    (neighbour,) = _FLOAT.unpack(_INT.pack(number + (1 if abs(short) > abs(value) else -1)))
    return bool(short == (value + neighbour) / 2)


_FLOAT, _INT = struct.Struct("<f"), struct.Struct("<i")
_pack = _FLOAT.pack
_INFINITY = float("inf")
_NOT_SHORTENED = (_INFINITY, -_INFINITY, 0.0)
_SMALLEST_NORMAL = 2.0**-126
