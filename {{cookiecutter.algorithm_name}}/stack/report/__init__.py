"""Template: the page that Evidently writes, in an environment of its own."""
