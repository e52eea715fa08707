# Generated from pgmd/_async/replicas/__init__.py by pgmd._tools.unasync. Do not edit.
"""Replica sets: who keeps, lends and replaces what."""
