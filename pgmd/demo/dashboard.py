"""The dashboard: 20 statements with their parameters.

Each orders its rows by what is unique, so that two answers can be compared row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, cycle, islice, product, zip_longest
from typing import Any, NamedTuple

_CARRIERS = (
    "9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV",
)  # fmt: skip
_ORIGINS = ("EWR", "JFK", "LGA")
_MONTHS = range(1, 13)
_DESTINATIONS = ("ORD", "ATL", "LAX", "BOS", "MCO", "CLT", "SFO", "FLL", "MIA", "DCA")


class Asked(NamedTuple):
    """One query: a panel's statement with one of its parameter sets."""

    sql: str
    params: tuple[Any, ...]


class Panel(NamedTuple):
    """One statement of the dashboard and every parameter set it is shown with."""

    sql: str
    params: list[tuple[Any, ...]]


def _each(*choices: Any) -> list[tuple[Any, ...]]:
    return list(product(*choices))


PANELS = [
    # Per carrier.
    Panel(
        "SELECT origin, count(*) AS legs, sum(dep_delay) AS minutes_late FROM flights "
        "WHERE carrier = %s GROUP BY origin ORDER BY origin",
        _each(_CARRIERS),
    ),
    Panel(
        "SELECT month, count(*) AS legs, count(dep_time) AS departed, "
        "sum(CASE WHEN dep_delay > 15 THEN 1 ELSE 0 END) AS late "
        "FROM flights WHERE carrier = %s GROUP BY month ORDER BY month",
        _each(_CARRIERS),
    ),
    Panel(
        "SELECT tailnum, count(*) AS legs, sum(distance) AS miles FROM flights "
        "WHERE carrier = %s AND tailnum IS NOT NULL GROUP BY tailnum "
        "ORDER BY miles DESC, tailnum LIMIT 20",
        _each(_CARRIERS),
    ),
    # Per origin and month.
    Panel(
        "SELECT day, count(*) AS legs, min(dep_delay) AS earliest, max(dep_delay) AS latest "
        "FROM flights WHERE origin = %s AND month = %s GROUP BY day ORDER BY day",
        _each(_ORIGINS, _MONTHS),
    ),
    Panel(
        "SELECT time_hour, carrier, flight, tailnum, dest, dep_delay FROM flights "
        "WHERE origin = %s AND month = %s AND day = %s "
        "ORDER BY time_hour, carrier, flight LIMIT 50",
        _each(_ORIGINS, (1, 4, 7, 10), (1, 15)),
    ),
    Panel(
        "SELECT hour, count(*) AS legs, avg(dep_delay::double precision) AS delay FROM flights "
        "WHERE origin = %s AND dep_delay IS NOT NULL GROUP BY hour ORDER BY hour",
        _each(_ORIGINS),
    ),
    # Per month.
    Panel(
        "SELECT time_hour, carrier, flight, origin, dest, dep_delay FROM flights "
        "WHERE month = %s AND dep_delay IS NOT NULL "
        "ORDER BY dep_delay DESC, time_hour, carrier, flight LIMIT 10",
        _each(_MONTHS),
    ),
    Panel(
        "SELECT carrier, legs, rank() OVER (ORDER BY legs DESC) AS place FROM "
        "(SELECT carrier, count(*) AS legs FROM flights WHERE month = %s GROUP BY carrier) AS t "
        "ORDER BY place, carrier",
        _each(_MONTHS),
    ),
    Panel(
        "SELECT count(*) AS legs, count(dep_time) AS departed, sum(distance) AS miles, "
        "max(time_hour) AS last FROM flights WHERE month BETWEEN %s AND %s",
        [(1, 3), (4, 6), (7, 9), (10, 12), (1, 12)],
    ),
    # Per destination.
    Panel(
        "SELECT origin, count(*) AS legs, min(air_time) AS quickest, max(air_time) AS slowest, "
        "sum(arr_delay) AS minutes_late FROM flights "
        "WHERE dest = %s GROUP BY origin ORDER BY origin",
        _each(_DESTINATIONS),
    ),
    # With airlines.
    Panel(
        "SELECT l.name, count(*) AS legs, max(f.distance) AS farthest FROM flights f "
        "JOIN airlines l ON l.carrier = f.carrier WHERE f.month = %s GROUP BY l.name "
        "ORDER BY l.name",
        _each(_MONTHS),
    ),
    Panel(
        "WITH late AS (SELECT carrier, arr_delay FROM flights "
        "WHERE origin = %s AND arr_delay > %s) "
        "SELECT l.name, count(*) AS legs, avg(late.arr_delay::double precision) AS delay "
        "FROM late JOIN airlines l ON l.carrier = late.carrier GROUP BY l.name ORDER BY l.name",
        _each(_ORIGINS, (15, 60, 180)),
    ),
    # With airports.
    Panel(
        "SELECT a.faa, a.name, count(*) AS legs, avg(f.arr_delay::double precision) AS delay "
        "FROM flights f JOIN airports a ON a.faa = f.dest "
        "WHERE f.origin = %s AND f.month = %s GROUP BY a.faa, a.name "
        "ORDER BY legs DESC, a.faa LIMIT 10",
        _each(_ORIGINS, _MONTHS),
    ),
    Panel(
        "SELECT f.dest, count(*) AS legs FROM flights f LEFT JOIN airports a ON a.faa = f.dest "
        "WHERE a.faa IS NULL AND f.origin = %s GROUP BY f.dest ORDER BY f.dest",
        _each(_ORIGINS),
    ),
    Panel(
        "SELECT tzone, count(*) AS airports, max(alt) AS highest, min(lat) AS southernmost "
        "FROM airports WHERE alt > %s GROUP BY tzone ORDER BY tzone",
        [(0,), (1000,), (5000,)],
    ),
    # With planes.
    Panel(
        "SELECT p.manufacturer, count(*) AS legs, max(p.seats) AS seats FROM flights f "
        "JOIN planes p ON p.tailnum = f.tailnum WHERE f.carrier = %s GROUP BY p.manufacturer "
        "HAVING count(*) > 10 ORDER BY legs DESC, p.manufacturer",
        _each(_CARRIERS),
    ),
    Panel(
        "SELECT p.year, count(*) AS legs, sum(p.seats) AS seats FROM flights f "
        "JOIN planes p ON p.tailnum = f.tailnum "
        "WHERE f.origin = %s AND p.year BETWEEN %s AND %s GROUP BY p.year ORDER BY p.year",
        [(origin, *years) for origin in _ORIGINS for years in ((1956, 1989), (1990, 2013))],
    ),
    # With weather.
    Panel(
        "SELECT f.origin, count(*) AS legs, sum(w.precip) AS rain, max(w.wind_speed) AS wind, "
        "sum(f.dep_delay) AS minutes_late FROM flights f "
        "JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour "
        "WHERE f.month = %s AND w.precip > 0 GROUP BY f.origin ORDER BY f.origin",
        _each(_MONTHS),
    ),
    Panel(
        "SELECT day, min(temp) AS coldest, max(temp) AS warmest, sum(precip) AS rain, "
        "min(visib) AS visibility FROM weather WHERE origin = %s AND month = %s "
        "GROUP BY day ORDER BY day",
        _each(_ORIGINS, _MONTHS),
    ),
    Panel(
        "SELECT w.time_hour, w.wind_gust, count(f.flight) AS legs FROM weather w "
        "LEFT JOIN flights f ON f.origin = w.origin AND f.time_hour = w.time_hour "
        "WHERE w.origin = %s AND w.wind_gust >= %s GROUP BY w.time_hour, w.wind_gust "
        "ORDER BY w.wind_gust DESC, w.time_hour LIMIT 10",
        _each(_ORIGINS, (30.0, 45.0)),
    ),
]


def queries(count: int) -> list[Asked]:
    """The first *count* queries, one of every panel in turn; they repeat after the last one."""
    return list(islice(cycle(_in_turn()), count))


def _in_turn() -> Iterator[Asked]:
    panels = [[Asked(panel.sql, params) for params in panel.params] for panel in PANELS]
    return (query for query in chain(*zip_longest(*panels)) if query is not None)
