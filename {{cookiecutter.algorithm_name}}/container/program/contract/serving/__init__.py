"""Template: a request to predict, from bytes to bytes."""
