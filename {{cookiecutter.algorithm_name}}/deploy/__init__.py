"""Template: ``python -m deploy`` trains the image on SageMaker, deploys it, calls it and deletes it again."""

import sys
from pathlib import Path

# The table of formats is the container's: ``contract.serving.formats``.
sys.path.append(str(Path(__file__).resolve().parent.parent / "container/program"))
