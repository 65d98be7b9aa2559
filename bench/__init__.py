"""Benchmarks, one question a script: `python -m bench.NAME [--json] [--quick]` from the repository root."""

import anpr  # noqa: F401  # before ONNX Runtime, which it keeps from telling others what it does
