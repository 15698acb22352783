"""Stands for your notebook: fits a pipeline, and writes ``model/`` and ``predict.csv`` beside this file.

Run it with the packages that will serve the model: ``.venv/bin/python data/make_model.py``.
"""

from pathlib import Path

import joblib
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent

wine = load_wine(as_frame=True)
cultivars = wine.target.map({0: "Barolo", 1: "Grignolino", 2: "Barbera"})
pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(wine.data, cultivars)

(HERE / "model").mkdir(exist_ok=True)
joblib.dump(pipeline, HERE / "model" / "model.joblib")
wine.data[::9].to_csv(HERE / "predict.csv", index=False)
