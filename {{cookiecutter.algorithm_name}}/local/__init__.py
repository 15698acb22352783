"""Template: this machine."""
