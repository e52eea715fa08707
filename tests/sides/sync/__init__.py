# Generated from tests/sides/async_/__init__.py by pgmd._tools.unasync. Do not edit.
"""One contract, for every side."""
