"""A small Django application: people and their orders."""
