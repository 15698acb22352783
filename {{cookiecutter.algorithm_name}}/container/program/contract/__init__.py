"""Template: SageMaker's contract with a container, implemented once. What ``algorithm.py`` needs is in ``api.py``.

Nothing is imported here: ``serve`` needs ``settings`` alone, and quickly.
"""

import os

# P-57: no library may call home. ONNX Runtime does from 1.29 on, and the thread it does it with survives no fork.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
