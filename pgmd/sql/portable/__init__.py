"""Find the first construct in a confirmed read about which PostgreSQL and DuckDB disagree.

For replicas that hold a PostgreSQL database's tables. The types and names of a result are compared
at run time, and PostgreSQL has accepted the statement when it described it; what is left is other
values at the same type, other rows, and errors that only one side raises while it runs. Types of
columns are not known here: `real`, `char(n)` and zone-less text in parameters stay with the caller.
"""

from .walk import disagreement

__all__ = ["disagreement"]
