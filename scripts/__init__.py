"""Developer verbs and the training and rendering programs; run from the repository root."""

import anpr  # noqa: F401  # before ONNX Runtime, which it keeps from telling others what it does
