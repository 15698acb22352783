"""Template: the page that Evidently writes, in its own environment."""
