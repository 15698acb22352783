"""What the tests of the image do where its base cannot be had."""

import shutil
from pathlib import Path

import pytest

from projects import IMAGES, build_image


def test_a_test_whose_base_image_cannot_be_pulled_is_left_out_with_the_reason(
    docker_answers: None, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUIRE_DOCKER", raising=False)
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    dockerfile = mine / "container/Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("ARG PYTHON_VERSION=3.12", "ARG PYTHON_VERSION=3.0"))
    with pytest.raises(
        pytest.skip.Exception, match=r"^python:3\.0-slim-bookworm is not here and cannot be pulled \(.+\)"
    ):
        build_image(mine, f"{IMAGES}:none")
