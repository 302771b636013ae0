"""The command `python -m greenworld.wsgi`: its options, its processes, its signals.

The server knows nothing of it: it imports `greenworld.wsgi`, and is not imported from there.
"""
