"""Template: what surrounds a model in production. Each part can be deleted alone, and this folder as a whole.

Each part has its own packages and its own environment (``local.environments``): nothing here is in the image.
"""
