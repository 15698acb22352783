"""Template: a training job, from ``/opt/ml`` to a model."""
