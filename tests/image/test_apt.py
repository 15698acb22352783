"""Debian packages: what container/apt.txt names is installed where Python packages are built, and in the image."""

import json
import uuid
from pathlib import Path

import pytest

from forms import long_after
from programs import docker
from projects import IMAGES, make_image

FIND = "ldconfig -p | grep -c 'libmagic.so.1 '"


def build(project: Path, tag: str, *options: str) -> str:
    """Build an image and return its tag."""
    built = docker("build", "--platform=linux/amd64", *options, f"--tag={IMAGES}:{tag}", f"{project}/container")
    assert built.returncode == 0, built.stdout + built.stderr
    return f"{IMAGES}:{tag}"


@pytest.mark.parametrize("builder", long_after(1, ["1", "0"]))
def test_the_packages_in_apt_txt_are_in_the_image_whatever_the_line_endings(mine: Path, builder: str) -> None:
    (mine / "container/apt.txt").write_bytes(b"# for python-magic\r\n\r\nlibmagic1 # and this\r\nlibnuma1")
    script = mine / "container/install.sh"
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    built = make_image(mine, "apt", DOCKER_BUILDKIT=builder)
    assert built.returncode == 0, built.stderr
    look = f"{FIND} && ldconfig -p | grep -c libnuma && ls -A /tmp /var/lib/apt/lists | sed '/:$/d; /^$/d'"
    done = docker("run", "--rm", f"{IMAGES}:apt", "sh", "-c", look)
    assert done.stdout == "1\n1\n", done.stderr


def test_they_are_there_while_python_packages_are_built(mine: Path) -> None:
    """One that is compiled needs headers, which are in Debian's -dev packages."""
    (mine / "container/apt.txt").write_text("libmagic-dev\n")
    image = build(mine, "apt-packages", "--target=packages")
    assert docker("run", "--rm", image, "ls", "/usr/include/magic.h").returncode == 0


def test_an_empty_list_installs_nothing(mine: Path) -> None:
    for text in ("", f"# nothing, {uuid.uuid4()}\n"):
        (mine / "container/apt.txt").write_text(text)
        built = docker("build", "--platform=linux/amd64", "--target=runtime", str(mine / "container"))
        assert "Reading package lists" not in built.stdout + built.stderr
        image = build(mine, "apt-empty", "--target=serving")
        lines = docker("history", "--format={{json .}}", "--no-trunc", "--human=false", image).stdout.splitlines()
        [layer] = [layer for layer in map(json.loads, lines) if "sh /tmp/install.sh apt" in layer["CreatedBy"]]
        assert int(layer["Size"]) < 1000


@pytest.mark.parametrize("name", ["libgmop1", "libmagic1=0.1"])
def test_a_package_that_debian_does_not_have_ends_the_build_with_a_sentence(mine: Path, name: str) -> None:
    (mine / "container/apt.txt").write_text(f"libmagic1\n{name}\n")
    built = docker("build", "--platform=linux/amd64", "--target=runtime", str(mine / "container"))
    assert built.returncode != 0
    sentence = f"error: container/apt.txt: '{name}' cannot be installed: packages.debian.org shows the names"
    assert sentence in built.stdout + built.stderr
