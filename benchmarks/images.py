"""The images that the benchmark compares, and what is in them."""

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import engine

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/helpers"))

from projects import copy_template

# Asked of an image by its own Python; a package that it has not got is left out of the report.
VERSIONS = """
import importlib.metadata, platform
print("Python", platform.python_version())
for name in ("gunicorn", "uvloop", "httptools", "flask", "numpy", "pandas", "scikit-learn", "onnxruntime"):
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        pass
"""


@dataclass(frozen=True)
class Images:
    """Their names. The tags stay when the benchmark ends, so that a next run finds the layers."""

    base: str
    baseline: str
    product: str
    serving: str | None
    """The product without what only training needs, where its Dockerfile has such a stage."""


def versions(image: str) -> str:
    """Names and versions of what serves."""
    nginx = engine.run(image, "sh", "-c", "nginx -v 2>&1").rpartition("/")[2]
    return ", ".join([f"nginx {nginx}", *engine.run(image, "python", "-c", VERSIONS).splitlines()])


def build_all() -> Images:
    """The product from the working tree, its serving stage where it has one, and the plain container."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        container = render(Path(scratch))
        dockerfile = (container / "Dockerfile").read_text(encoding="utf-8")
        images = Images(
            base=base(dockerfile),
            product=build("product", container),
            serving=build("serving", container, "--target=serving") if has_serving_stage(dockerfile) else None,
            baseline=build("baseline", HERE / "baseline"),
        )
    return images


def build(name: str, directory: Path, *options: str) -> str:
    """Build an image from a folder and return its tag."""
    tag = f"sagemaker-benchmark:{name}"
    engine.say(f"building {tag}")
    engine.docker("build", "--platform", "linux/amd64", "--tag", tag, *options, str(directory))
    return tag


def render(scratch: Path) -> Path:
    """The container/ of a project with the default answers, from what git would keep of the working tree."""
    template = copy_template(scratch / "template")
    # As a command, because the project's hook speaks on stdout, where only the report may go.
    command = [str(Path(sys.executable).with_name("cookiecutter")), "--no-input", "--default-config"]
    engine.output(*command, "--output-dir", str(scratch), str(template), "algorithm_name=benchmark")
    return scratch / "benchmark" / "container"


def has_serving_stage(dockerfile: str) -> bool:
    """Whether the product can be built for serving alone."""
    return bool(re.search(r"^FROM .* AS serving\s*$", dockerfile, re.MULTILINE | re.IGNORECASE))


def base(dockerfile: str) -> str:
    """The image that the product's is made from."""
    version = re.search(r"^ARG PYTHON_VERSION=(\S+)$", dockerfile, re.MULTILINE)
    if not version:
        sys.exit("the product's Dockerfile has no line 'ARG PYTHON_VERSION=...'")
    return f"python:{version[1]}-slim-bookworm"
