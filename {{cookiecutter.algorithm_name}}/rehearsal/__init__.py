"""Template: SageMaker on this machine, for ``make rehearse`` and the tests. You may delete this folder."""
