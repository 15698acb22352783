"""Template: which Debian package has a shared library that an import needs."""

import re

# libcuda comes with the GPU's driver, not with an image.
MISSING = re.compile(r"(lib(?!cuda\.)[\w.+-]*\.so[\d.]*): cannot open shared object file")
PACKAGES = {
    "libgomp.so.1": "libgomp1", "libGL.so.1": "libgl1", "libEGL.so.1": "libegl1", "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0", "libgobject-2.0.so.0": "libglib2.0-0", "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6", "libX11.so.6": "libx11-6", "libxcb.so.1": "libxcb1", "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1", "libsndfile.so.1": "libsndfile1", "libportaudio.so.2": "libportaudio2",
    "libopenblas.so.0": "libopenblas0", "libgfortran.so.5": "libgfortran5", "libtbb.so.12": "libtbb12",
    "libgeos_c.so.1": "libgeos-c1v5", "libspatialindex_c.so.6": "libspatialindex6", "libpq.so.5": "libpq5",
    "libodbc.so.2": "libodbc2", "libmariadb.so.3": "libmariadb3", "libmagic.so.1": "libmagic1",
    "libtesseract.so.5": "libtesseract5", "libzbar.so.0": "libzbar0", "libcairo.so.2": "libcairo2",
    "libmpi.so.40": "libopenmpi3", "libxml2.so.2": "libxml2", "libnuma.so.1": "libnuma1",
}  # fmt: skip


def missing_library(error: BaseException) -> tuple[str, str] | None:
    """The missing library that ``error`` names, and the end of a sentence that says what to add; or None."""
    found = MISSING.search(str(error))
    if found is None:
        return None
    name = found[1]
    package = PACKAGES.get(name, f"the package that has it (packages.debian.org or `apt-file search {name}` finds it)")
    return name, f"{package} to container/apt.txt; without a container install it on this machine."
