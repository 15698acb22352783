"""Template: trains again when requests have shifted, and registers a model that is better: docs/retraining.md."""
