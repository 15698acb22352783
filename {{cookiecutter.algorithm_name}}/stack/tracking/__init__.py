"""Template: logs runs of training to MLflow, from outside and after the job: the image knows nothing of it."""
