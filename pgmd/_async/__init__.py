"""The shells that wait: authored here for asyncio, generated from here for threads."""
