"""Template: train, serve and predict on this machine, in the container or, without Docker, in .venv.

Needs nothing but Python's own library, so that a fresh machine with Docker can start at once.
"""
