# Generated from pgmd/_async/fanout/__init__.py by pgmd._tools.unasync. Do not edit.
"""Many statements at a time."""
