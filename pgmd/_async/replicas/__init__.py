"""Replica sets: who keeps, lends and replaces what."""
