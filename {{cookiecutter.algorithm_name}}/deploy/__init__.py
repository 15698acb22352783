"""Template: SageMaker."""
