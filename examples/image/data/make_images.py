"""Write handwritten digits beside this file, as PNG: ``.venv/bin/python data/make_images.py``.

They are those of scikit-learn, of 8 x 8 pixels, and are enlarged here.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent

digits = load_digits()
for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
    channel = "validation" if number % 5 == 0 else "training"
    image = Image.fromarray((pixels * 255 / 16).astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
    folder = HERE / channel / str(digit)
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{number:04}.png")
    if number == 0:
        image.save(HERE / "predict.png")
