"""Template: fetches a model, and says which version waits for approval. It runs in ``.venv``, where ``deploy`` does."""

import json
import sys
import tarfile
from pathlib import Path

try:
    import click

    from deploy import context, names, storage, update
    from deploy.context import Context
    from deploy.errors import EXPECTED, DeployError, describe
except ModuleNotFoundError as error:
    sys.exit(f"`make retrain` needs deploy/ and its packages, and there is no '{error.name}': restore it.")


@context.verb(changes=False, table="train")
@click.argument("place")
@click.argument("folder", type=click.Path(path_type=Path))
def fetch(context: Context, place: str, folder: Path) -> None:
    """Print the folder of the model in PLACE, which is FOLDER if it was unpacked, and the version that waits."""
    if place.startswith("endpoint:"):
        _, config = update.in_service(context, place.partition(":")[2])
        model = context.call("DescribeModel", {"ModelName": config["ProductionVariants"][0]["ModelName"]})
        place = model["PrimaryContainer"]["ModelDataUrl"]
    archive, waiting = Path(place), _waiting(context)
    if place.startswith("s3://"):
        archive = folder.with_suffix(".tar.gz")
        context.client("s3").download_file(*storage.split(place), str(archive))
    if not archive.is_dir():
        try:
            with tarfile.open(archive) as opened:
                opened.extractall(folder, filter="data")
        except (tarfile.TarError, EOFError) as error:
            raise DeployError(f"{place} is not a model.tar.gz: name a model's folder or archive.") from error
    click.echo(json.dumps({"folder": str(archive if archive.is_dir() else folder), "waiting": waiting}))


def _waiting(context: Context) -> str:
    """NAME/VERSION of the newest version, if it is neither approved nor rejected."""
    group = names.folded(names.project())
    groups = context.items("list_model_package_groups", NameContains=group)
    if group not in [each["ModelPackageGroupName"] for each in groups]:
        return ""
    newest_first = {"ModelPackageGroupName": group, "SortBy": "CreationTime", "SortOrder": "Descending"}
    newest = next(context.items("list_model_packages", **newest_first), {"ModelApprovalStatus": "none"})
    waits = newest["ModelApprovalStatus"] == "PendingManualApproval"
    return f"{group}/{newest['ModelPackageVersion']}" if waits else ""


if __name__ == "__main__":
    try:
        fetch.main(standalone_mode=False)
    except click.ClickException as error:
        sys.exit(error.format_message())
    except EXPECTED as error:
        sys.exit(describe(error))
