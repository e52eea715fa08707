# Generated from pgmd/_async/dropin/__init__.py by pgmd._tools.unasync. Do not edit.
"""Connections and cursors that programs of psycopg use."""
