"""Yours: a convolutional network in two steps, without gradients, so that no framework is needed to train it.

The filters are the most typical patches of the images (Coates and Ng, 2011). A logistic regression does the rest.
"""

import json
from typing import Any

import numpy as np
import onnxruntime

PATCH = 5  # pixels
CONTRAST = 0.3  # patches with less are empty, and so are places that resemble a filter less
ENOUGH = 1000  # images to learn the filters from

CONVOLUTION = """
    maps = Conv (image, filters, thresholds)
    edges = Relu (maps)
    pooled = MaxPool <kernel_shape = [4, 4], strides = [4, 4]> (edges)
    features = Flatten (pooled)"""
CLASSIFICATION = """
    scores = Gemm <transB = 1> (features, weights, biases)
    probabilities = Softmax (scores)"""


class Model:
    """A network as ONNX, and a session that runs it."""

    def __init__(self, onnx: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the server runs one process for each CPU
        self.onnx = onnx
        self.session = onnxruntime.InferenceSession(onnx, options)
        self.classes = json.loads(self.session.get_modelmeta().custom_metadata_map["classes"])

    def run(self, images: Any) -> Any:
        """The output for images of shape (count, 1, height, width)."""
        return self.session.run(None, {"image": images})[0]


def fit(images: Any, labels: list[str], settings: Any) -> Model:
    """A network that knows the classes of the images, of shape (count, 1, height, width)."""
    from sklearn.linear_model import LogisticRegression  # imported here, since serving does not need it

    found = filters(images, settings)
    convolution = {"filters": found, "thresholds": np.full(len(found), -CONTRAST)}
    features = export(images, CONVOLUTION, "features", [], **convolution).run(images)
    regression = LogisticRegression(C=settings.strength, max_iter=1000).fit(features, labels)
    weights, biases = regression.coef_, regression.intercept_
    if len(weights) == 1:  # of two classes; the scores of the first are those of the second with the other sign
        weights, biases = np.vstack([-weights, weights]) / 2, np.array([-biases[0], biases[0]]) / 2
    whole = {**convolution, "weights": weights, "biases": biases}
    return export(images, CONVOLUTION + CLASSIFICATION, "probabilities", list(regression.classes_), **whole)


def filters(images: Any, settings: Any) -> Any:
    """The centers of clusters of patches."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.preprocessing import normalize

    some = np.random.default_rng(settings.seed).permutation(images)[:ENOUGH]
    patches = np.lib.stride_tricks.sliding_window_view(some, (PATCH, PATCH), axis=(2, 3)).reshape(-1, PATCH**2)
    patches = patches - patches.mean(axis=1, keepdims=True)
    clear = normalize(patches[np.linalg.norm(patches, axis=1) > CONTRAST])
    clusters = MiniBatchKMeans(settings.filters, n_init=1, random_state=settings.seed).fit(clear)
    return normalize(clusters.cluster_centers_).reshape(-1, 1, PATCH, PATCH)


def export(images: Any, layers: str, output: str, classes: list[str], **arrays: Any) -> Model:
    """Layers as ONNX, with the arrays that they name."""
    import onnx

    _, _, height, width = images.shape
    shapes = f"(float[N, 1, {height}, {width}] image) => (float[N, M] {output})"
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 17]> network {shapes} {{{layers}\n}}')
    tensors = [onnx.numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in arrays.items()]
    proto.graph.initializer.extend(tensors)
    onnx.helper.set_model_props(proto, {"classes": json.dumps(classes)})
    return Model(proto.SerializeToString())
