"""Template: ``python -m deploy policies`` prints policies of IAM, with the least that our calls need."""

import json
import re
from pathlib import Path
from typing import Any

import click

from deploy import context, names, storage
from deploy.config import Settings
from deploy.context import Context
from deploy.waiting import print_progress

FOLDER = Path(__file__).with_name("policies")
_OPTIONAL = (("kms:", "kms_key"), ("ec2:", "subnets"))  # a service's actions, and the setting that needs them


@context.verb("role", "bucket", "image", "kms_key", "subnets", changes=False)
@click.argument("who", type=click.Choice(sorted(file.stem for file in FOLDER.glob("*.json"))))
def policies(context: Context, who: str) -> None:
    """Print the policy of IAM that WHO needs: you, CI, or the role that SageMaker assumes."""
    document, known = json.loads((FOLDER / f"{who}.json").read_text(encoding="utf-8")), _values(context)
    document["Statement"] = [each for each in document["Statement"] if _is_needed(each, context.settings)]
    text = json.dumps(document, indent=2)
    for word, value in known.items():
        if value:
            text = re.sub(rf"\b{word}\b", value, text)
        elif re.search(rf"\b{word}\b", text):
            print_progress(f"Replace {word} yourself: there is no {word.lower()} in deploy.toml or among the flags.")
    click.echo(text)


def _values(context: Context) -> dict[str, str]:
    """What stands for each placeholder, or nothing if it is not known."""
    settings, caller = context.settings, context.caller.split(":")
    repository = settings.image.partition("/")[2].partition("@")[0].partition(":")[0]
    return {
        "PARTITION": caller[1],
        "REGION": context.session.region_name,
        "ACCOUNT": caller[4],
        "PROJECT": names.endpoint("*").removesuffix("-*"),
        "BUCKET": storage.split(settings.bucket)[0] if settings.bucket else "",
        "ROLE": settings.role,
        "REPOSITORY": repository or names.project(),
        "KEY": settings.kms_key,
    }


def _is_needed(statement: dict[str, Any], settings: Settings) -> bool:
    return all(getattr(settings, name) or not statement["Action"][0].startswith(start) for start, name in _OPTIONAL)
