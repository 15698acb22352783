"""Template: what surrounds a model in production. Each part can be deleted alone, and this folder as a whole.

A part has packages of its own, in an environment of its own (``local.environments``): nothing here is in the image.
"""
