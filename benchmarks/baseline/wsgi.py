"""What gunicorn imports."""

from predictor import app

__all__ = ["app"]
