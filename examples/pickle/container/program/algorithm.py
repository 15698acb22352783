"""Yours: a model that was trained elsewhere, in a notebook. The image serves it; there is nothing to train.

A joblib file is a pickle: loading one runs what it holds, so serve only your own.
"""

import warnings
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from sklearn.exceptions import InconsistentVersionWarning

from contract.api import Predictions, UserError


def load(directory: Path) -> Any:
    """The pipeline that the notebook fitted. Under another version it might predict something else: it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            return joblib.load(directory / "model.joblib")
        except InconsistentVersionWarning as difference:
            version = difference.original_sklearn_version
            raise UserError(
                f"The model is of scikit-learn {version}, this is {difference.current_sklearn_version}: write "
                f"scikit-learn=={version} in container/requirements.txt and run `make lock`."
            ) from None


def features(model: Any) -> list[str]:
    """The columns that a request must have. scikit-learn remembers them, where it was fitted on a DataFrame."""
    return list(model.feature_names_in_)


def predict(model: Any, rows: pd.DataFrame) -> Predictions:
    """A label for each row, and the probability of each class."""
    probabilities = model.predict_proba(rows)
    columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(model.classes_)}
    return {"label": model.classes_[probabilities.argmax(axis=1)], **columns}
