"""Template: SageMaker: ``python -m deploy`` trains the image there, deploys it, calls it and deletes it again."""
