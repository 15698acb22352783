"""Template: SageMaker's contract with a container, implemented once. What ``algorithm.py`` needs is in ``api.py``.

Nothing is imported here, so that ``serve`` can import ``settings`` quickly.
"""

import os

# P-57: no library may send usage data. ONNX Runtime does since 1.29, from a thread that does not survive a fork.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
