"""Debian packages: what container/apt.txt names is installed where Python packages are built, and in the image."""

import json
import shutil
from pathlib import Path

import pytest

from programs import docker
from projects import IMAGES, need_base_image

FIND = "ldconfig -p | grep -c 'libmagic.so.1 '"


@pytest.fixture
def container(docker_answers: None, project: Path, tmp_path: Path) -> Path:
    """The folder of a project's image, which has no Python packages: that makes it quick to build."""
    need_base_image(project)
    folder = Path(shutil.copytree(project / "container", tmp_path / "container"))
    for lock in folder.glob("*.lock"):
        lock.write_text("")
        lock.with_suffix(".txt").write_text("")
    return folder


def build(container: Path, tag: str, *options: str) -> str:
    """Build an image and return its tag."""
    built = docker("build", "--platform=linux/amd64", *options, f"--tag={IMAGES}:{tag}", str(container))
    assert built.returncode == 0, built.stdout + built.stderr
    return f"{IMAGES}:{tag}"


@pytest.mark.parametrize("builder", ["0", "1"], ids=["classic", "BuildKit"])
def test_the_packages_in_apt_txt_are_in_the_image_whatever_the_line_endings(
    container: Path, builder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", builder)
    (container / "apt.txt").write_bytes(b"# for python-magic\r\n\r\nlibmagic1 # and this\r\nlibnuma1")
    image = build(container, "apt", "--target=serving")
    done = docker("run", "--rm", image, "sh", "-c", f"{FIND} && ldconfig -p | grep -c libnuma && ls -A /tmp")
    assert done.stdout == "1\n1\n", done.stderr


def test_they_are_there_while_python_packages_are_built(container: Path) -> None:
    """One that is compiled needs headers, which are in Debian's -dev packages."""
    (container / "apt.txt").write_text("libmagic-dev\n")
    image = build(container, "apt-packages", "--target=packages")
    assert docker("run", "--rm", image, "ls", "/usr/include/magic.h").returncode == 0


def test_an_empty_list_installs_nothing(container: Path) -> None:
    for text in ("", "# nothing\n"):
        (container / "apt.txt").write_text(text)
        image = build(container, "apt-empty", "--target=serving")
        lines = docker("history", "--format={{json .}}", "--no-trunc", "--human=false", image).stdout.splitlines()
        [layer] = [layer for layer in map(json.loads, lines) if "sh /tmp/install.sh apt" in layer["CreatedBy"]]
        assert int(layer["Size"]) < 1000


@pytest.mark.parametrize("name", ["libgmop1", "libmagic1=0.1"])
def test_a_package_that_debian_does_not_have_ends_the_build_with_a_sentence(container: Path, name: str) -> None:
    (container / "apt.txt").write_text(f"libmagic1\n{name}\n")
    built = docker("build", "--platform=linux/amd64", "--target=runtime", str(container))
    assert built.returncode != 0
    sentence = f"error: container/apt.txt: '{name}' cannot be installed: packages.debian.org shows the names"
    assert sentence in built.stdout + built.stderr
