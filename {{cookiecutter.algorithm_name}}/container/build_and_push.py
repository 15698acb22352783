#!/usr/bin/env python3
"""Template: builds the image and pushes it to a registry, as build_and_push.sh does, and more."""

import json
import logging
import re
import shlex
import signal
import sys
import tempfile
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

if sys.version_info < (3, 11):  # noqa: UP036 - a user may have an older one
    sys.exit("error: Python is older than 3.11: run 'make setup' and use .venv/bin/python, or build_and_push.sh")

from publishing import building, contents, options, project
from publishing.commands import LOG, ask_docker, failing
from publishing.ecr import find
from publishing.registry import Image, Registry

VERBS = {"inspect": contents.inspect, "pull": contents.pull}


def main(arguments: list[str]) -> None:
    """Run the command that the first word names; without one, build, push and read back."""
    verb = VERBS.get(arguments[0]) if arguments else None
    given = options.read_verb(arguments[0], verb.__doc__, arguments[1:]) if verb else options.read(arguments)
    logging.addLevelName(logging.INFO, "==>")
    logging.addLevelName(logging.WARNING, "warning:")
    logging.basicConfig(format="%(levelname)s %(message)s")
    LOG.setLevel(logging.WARNING if given.quiet else logging.INFO)
    given.name = given.name or project.in_pyproject("name")
    if verb:
        options.check(given, [image for image in given.image if not re.fullmatch(options.DIGEST, image)])
        verb(given)
    else:
        build_and_push(given)


def build_and_push(given: Namespace) -> None:
    """Check what can be checked before the long build; then build, push and read back."""
    revision = project.revision_of(given.context)
    # The commit is always a tag, the time only if nothing else is. --verify may check an image of another commit.
    named = given.tag and (given.verify or not revision.name)
    tags = list(dict.fromkeys(given.tag if named else [revision.tag, *given.tag]))
    options.check(given, tags)
    output = building.check_engine(given)
    ecr, uri = (None, f"{given.registry}/{given.name}") if given.registry else find(given)
    caches = [image[1:] for image in given.cache_from if image.startswith(":")]
    given.cache_from = [re.sub("^:", f"{uri}:", image) for image in given.cache_from]
    told = output + building.options_of(given, revision)
    whole = Image(given.platform, tags, caches)
    images = whole.by_platform()
    if given.dry_run:
        return say_what_would_be_done(given, uri, images, whole, told)
    with tempfile.TemporaryDirectory() as scratch:
        registry = Registry(uri, Path(scratch, "docker"), ecr, given.username)
        registry.configure()
        if not given.verify:
            building.pull_layers(given.cache_from)
            build = partial(building.build, given, told, Path(scratch))
            images = [image._replace(id=build(image.platform, f"{uri}:{image.tags[0]}")) for image in images]
        result = publish(given, registry, images, whole)
    return print(json.dumps(result) if given.json else result["reference"])


def say_what_would_be_done(given: Namespace, uri: str, images: list[Image], whole: Image, told: list[str]) -> None:
    """Print which commands would build, and what would be pushed."""
    for image in images:
        command = ["docker", "build", "--platform", image.platform, *told, str(given.context)]
        LOG.info(f"Would run {shlex.join(command)}")
        LOG.info(f"Would push {uri} as {' '.join(image.tags)}")
    if len(images) > 1:
        LOG.info(f"Would push {uri} as {' '.join(whole.tags)}, for all")


def publish(given: Namespace, registry: Registry, images: list[Image], whole: Image) -> dict[str, Any]:
    """Push the image for each platform, and a list if there are several. Return what the registry has."""
    parts = [publish_one(given, registry, image) for image in images]
    if len(parts) == 1:
        return parts[0]
    identity = " ".join(sorted(part["digest"] for part in parts))
    result = {**publish_one(given, registry, whole._replace(id=identity)), "images": parts}
    single = " or ".join(f"{part['reference']} ({part['platform']})" for part in parts)
    LOG.warning(f"SageMaker does not accept lists of images, and trains only on linux/amd64: give it {single}")
    return result


def publish_one(given: Namespace, registry: Registry, image: Image) -> dict[str, Any]:
    """Push ``image`` under its tags, unless it is only to be verified. Return what the registry has."""
    served, tags = registry.publish(image, push=not given.verify)
    about: dict[str, Any] = {"reference": f"{registry.uri}@{served.digest}", **served._asdict(), "tags": tags}
    if image.is_list:
        LOG.info(f"{about['reference']} is a list for {image.platform}, tagged {' '.join(tags)}")
        del about["image"], about["size"]
        return about
    LOG.info(f"{about['reference']} is {served.platform}, {served.size // 1000} kB, tagged {' '.join(tags)}")
    about["labels"] = None
    if image.id:
        address = f"{registry.uri}:{image.tags[0]}"
        about["labels"] = json.loads(ask_docker("image", "inspect", "--format", "{{json .Config.Labels}}", address))
    elif given.json and registry.ecr:
        with failing(f"cannot read the labels of {about['reference']}", registry.rights):
            _, about["labels"] = contents.Contents(registry.ecr, registry.uri).image(served.digest)
    return about


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # This removes the folder with the token, and ends docker's command.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    main(sys.argv[1:])
