"""`python -m deploy` that starts at once: a process that has imported the libraries already forks for each command.

Everything else is as in a process of its own: the project's files, the environment, the streams and the exit status.
"""

import atexit
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PARENT = """
import functools, gc, json, os, runpy, sys
import boto3, botocore.config, botocore.validate, click, numpy, s3transfer.manager, werkzeug
import ast, concurrent.futures, secrets, tarfile, tomllib
from botocore.loaders import JSONFileLoader

# What a process reads anew: the project's modules, compiled, and AWS's description of each service.
sys.pycache_prefix, sys.dont_write_bytecode = sys.argv[1], False
loader = JSONFileLoader()
load = functools.cache(loader.load_file)
JSONFileLoader.load_file = lambda self, path: load(path)
session = boto3.Session("any", "any", region_name="us-west-2")
for service in ("sagemaker", "sagemaker-runtime", "s3", "sts", "ecr", "logs", "cloudwatch", "application-autoscaling"):
    session.client(service)
gc.freeze()  # what is here already need not be looked through again

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        for number, (path, flags) in enumerate(job["streams"]):
            os.dup2(os.open(path, flags), number)
        os.chdir(job["cwd"])
        os.environ.clear()
        os.environ.update(job["env"])
        sys.path.insert(0, job["cwd"])
        sys.argv = ["deploy", *job["arguments"]]
        runpy.run_module("deploy", run_name="__main__", alter_sys=True)
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _parent() -> "subprocess.Popen[str]":
    """One for each worker of pytest-xdist. It ends when its standard input is closed."""
    compiled = tempfile.TemporaryDirectory()
    command = [sys.executable, "-B", "-c", PARENT, compiled.name]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(compiled.cleanup)
    atexit.register(parent.communicate)  # which comes first
    return parent


def deploy(cwd: Path, arguments: tuple[str, ...], env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command of a project."""
    parent = _parent()
    assert parent.stdin and parent.stdout
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as error:
        streams = [("/dev/null", 0), (out.name, 1), (error.name, 1)]  # to read, to write
        job = {"cwd": str(cwd), "arguments": arguments, "env": env, "streams": streams}
        parent.stdin.write(json.dumps(job) + "\n")
        parent.stdin.flush()
        status = int(parent.stdout.readline())
        texts = [Path(file.name).read_text(encoding="utf-8") for file in (out, error)]
    return subprocess.CompletedProcess(["deploy", *arguments], status, *texts)
