"""Django's settings, once for a process; which database it uses is each test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.db import connections
from psycopg.conninfo import conninfo_to_dict

settings.configure(
    ALLOWED_HOSTS=["testserver"],
    DATABASES={},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["tests.frameworks.shop"],
    ROOT_URLCONF="tests.frameworks.shop.urls",
    SECRET_KEY=os.urandom(16).hex(),
    TIME_ZONE="UTC",
    USE_TZ=True,
)
django.setup()

ADDRESS = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}


@contextmanager
def database(dsn: str, *, backend: str = "pgmd.django", **options: Any) -> Iterator[Any]:
    """Django's connection to the database of this *dsn*, with these OPTIONS."""
    params = conninfo_to_dict(dsn)
    settings_dict: dict[str, Any]
    settings_dict = {name: str(params.pop(word, "")) for name, word in ADDRESS.items()}
    settings_dict |= {"ENGINE": backend, "OPTIONS": {**params, **options}}
    outer = connections["default"], connections.settings["default"]
    connections.configure_settings({"default": settings_dict})
    connections.settings["default"] = settings_dict
    connections["default"] = connection = connections.create_connection("default")
    try:
        yield connection
    finally:
        connection.close()
        connection.close_pool()
        connections["default"], connections.settings["default"] = outer
