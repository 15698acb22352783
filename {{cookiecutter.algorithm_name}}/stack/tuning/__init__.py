"""Template: looks for the hyperparameters whose model is best, on this machine: ``make tune``."""
