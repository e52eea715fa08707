# Generated from pgmd/_async/sides/__init__.py by pgmd._tools.unasync. Do not edit.
"""Where a statement runs."""
