"""anpr: automatic number plate recognition for Vietnamese expressways."""

import os

__version__ = "0.1.0"

# From 1.29 on ONNX Runtime tells Microsoft what models are loaded where, unless this is set before its import; see
# docs/install.md.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
