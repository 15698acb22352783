"""Runs in the product's image: fits one model and writes it for both containers, and the rows to send.

``fit.py tree|forest DIRECTORY`` writes ``model.pkl``, which the plain container reads, ``model.onnx``, which the
product's ``algorithm.py`` exports from the same estimator, and ``rows.csv``, the data without labels.
"""

import pickle
import sys
from pathlib import Path

import algorithm
import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

MODELS = {
    "tree": (load_iris, DecisionTreeClassifier(random_state=0)),
    "forest": (load_breast_cancer, RandomForestClassifier(100, random_state=0)),
}


def main(kind: str, directory: Path) -> None:
    """Fit, and write the three files."""
    load, estimator = MODELS[kind]
    data = load()
    estimator.fit(data.data, data.target_names[data.target])
    algorithm.save(algorithm.export(estimator, [name.replace(" ", "_") for name in data.feature_names]), directory)
    (directory / "model.pkl").write_bytes(pickle.dumps(estimator))
    np.savetxt(directory / "rows.csv", data.data, delimiter=",", fmt="%s")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
