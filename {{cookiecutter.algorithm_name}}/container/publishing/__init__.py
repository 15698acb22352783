"""Template: what build_and_push.py does. You may delete it together with that script."""
