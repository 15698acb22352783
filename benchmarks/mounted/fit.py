"""Fits one model, in an image of the benchmark: `fit.py tree|forest DIRECTORY`.

In the plain container it writes ``model.pkl``. In the product's it writes ``model.onnx``, which ``algorithm.py``
exports, and ``rows.csv``, the data without labels. Each image has its own scikit-learn, so ``Workload.check`` compares
the labels.
"""

import importlib.util
import pickle
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

MODELS = {
    "tree": (load_iris, DecisionTreeClassifier(random_state=0)),
    "forest": (load_breast_cancer, RandomForestClassifier(100, random_state=0)),
}


def main(kind: str, directory: Path) -> None:
    """Fit, and write the files of this image."""
    load, estimator = MODELS[kind]
    data = load()
    estimator.fit(data.data, data.target_names[data.target])
    if not importlib.util.find_spec("algorithm"):
        (directory / "model.pkl").write_bytes(pickle.dumps(estimator))
        return
    import algorithm

    algorithm.save(algorithm.export(estimator, [name.replace(" ", "_") for name in data.feature_names]), directory)
    np.savetxt(directory / "rows.csv", data.data, delimiter=",", fmt="%s")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
