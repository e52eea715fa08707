"""Django's PostgreSQL backend with pgmd's connections: `"ENGINE": "pgmd.django"`; see `base`."""
