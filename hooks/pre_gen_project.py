"""Refuse a name that the image, the repository, the jobs or a file system would refuse later."""

import json
import re
import sys

# As JSON, which escapes the single quote too, so that no answer can end this string.
name = json.loads(r'{{ cookiecutter.algorithm_name | tojson }}')  # fmt: skip

# Two characters at least for an ECR repository (E-01), 39 at most so that a job's name of 63 (C-01)
# has room for a date and a random part.
ALLOWED = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
WINDOWS = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")

if not (ALLOWED.fullmatch(name) and 2 <= len(name) <= 39):
    sys.exit(
        f"The algorithm_name {name!a} cannot be used: give 2 to 39 lower-case letters, digits and single hyphens "
        "that begin with a letter and end with a letter or digit, such as 'churn-forest'."
    )
if WINDOWS.fullmatch(name):
    sys.exit(f"The algorithm_name {name!a} cannot be used: Windows keeps it for a device, so choose another.")
