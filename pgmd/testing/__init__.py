"""What a test needs to run against a real server, without pytest.

`find_postgres` is the one to start with: it takes the server it is given, else starts a container,
else a server that comes as a Python package. The others start one kind and say so when they cannot.
"""

from .servers import (
    Container,
    Server,
    container_postgres,
    embedded_postgres,
    engine_answers,
    find_postgres,
)

__all__ = [
    "Container",
    "Server",
    "container_postgres",
    "embedded_postgres",
    "engine_answers",
    "find_postgres",
]
