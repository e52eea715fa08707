# Generated from pgmd/_async/__init__.py by pgmd._tools.unasync. Do not edit.
"""The shells that wait: authored here for asyncio, generated from here for threads."""
