"""Template: runs docker and git, and turns their errors and those of AWS into one sentence."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from subprocess import CalledProcessError
from typing import NoReturn
from urllib.error import HTTPError

AWS_ERRORS: tuple[type[Exception], ...] = ()
with suppress(ImportError):  # registries other than ECR do not need it
    from botocore.exceptions import BotoCoreError, ClientError

    AWS_ERRORS = BotoCoreError, ClientError

LOG = logging.getLogger("build_and_push")
# Errors of any command, and how to fix them.
REMEDIES = {
    "Throttling|Too ?Many ?Requests|Rate exceeded|HTTP Error 5": "wait a minute and run this again",
    "[Ee]xpired": "renew your credentials, for instance with 'aws sso login'",
    "endpoint URL|connection refused|no such host|timeout": "check the network and that the region exists",
}


def fail(sentence: str) -> NoReturn:
    """End with one sentence."""
    sys.exit(f"error: {sentence}")


@contextmanager
def failing(what: str, remedy: str, place: str = "region exists") -> Iterator[None]:
    """End with one sentence if the block fails; it includes the error of docker or AWS."""
    try:
        yield
    except CalledProcessError as error:
        cause = one_line(error.stderr)
    except AWS_ERRORS as error:
        cause = one_line(str(error))
    except (HTTPError, LookupError, ValueError) as error:
        cause = one_line(str(error))
    except (OSError, HTTPException) as error:  # of a connection
        cause, remedy = one_line(str(getattr(error, "reason", error))), "check the network"
    else:
        return
    remedy = next((other for pattern, other in REMEDIES.items() if re.search(pattern, cause)), remedy)
    fail(f"{what}{f' ({cause})' if cause else ''}: {remedy.replace('region exists', place)}")


def one_line(complaint: str | None) -> str:
    """Return ``complaint`` for use within a sentence."""
    return " ".join((complaint or "").split()).rstrip(". ")


def quietly(*command: str, stdin: str | None = "") -> str:
    """Run ``command`` and return what it prints. If ``stdin`` is None it reads that of this script."""
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout.strip()


def ask_docker(*arguments: str) -> str:
    """Return what docker says about itself or an image."""
    with failing("Docker does not answer", "start it"):
        return quietly("docker", *arguments)


def platform_of(image: str) -> str:
    """Return the platform of ``image``, which docker has."""
    return ask_docker("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image)


def openly(*command: str, stderr: int | None = None) -> None:
    """Run ``command`` and print its output on stderr. If this script is ended, end the command first."""
    # SageMaker refuses an image with attestations (E-07); commands that write none ignore this.
    environment = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    stdout = sys.stderr if LOG.isEnabledFor(logging.INFO) else subprocess.DEVNULL
    with subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True, env=environment) as process:
        try:
            _, complaint = process.communicate()
        except BaseException:  # Ctrl-C and SIGTERM too
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            raise
    if process.returncode:
        raise CalledProcessError(process.returncode, command, stderr=complaint)
