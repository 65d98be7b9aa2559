"""Packaging: only `anpr` is importable; kernels, models, pipelines and example configs travel as its data."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
DATA_FOLDERS = ("kernels", "models", "pipelines", "configs")
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "anpr/__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

CPU = ["onnxruntime>=1.26"]
XLSX = ["openpyxl>=3.1"]
BRIDGES = ["httpx>=0.28", "paho-mqtt>=2.1,<3", "nats-py>=2.9,<3", "confluent-kafka>=2.8,<3"]
EXPORT = ["pyarrow>=18.0"]
TEST = [
    *XLSX,
    *EXPORT,
    *BRIDGES,
    "duckdb>=1.1",
    "onnx>=1.21",
    "pytest>=8.3",
    "pytest-benchmark>=5.0",
    "pytest-timeout>=2.3",
    "hypothesis>=6.112",
    "jsonschema>=4.23",
    "rapidfuzz>=3.10",
    "setuptools>=77",
    "tomli-w>=1.1",
    "pyyaml>=6.0",
    "ruff>=0.8",
    "mypy>=1.13",
]
CUDA_PARTS = ("cuda-nvcc", "cuda-crt", "nvvm", "cuda-cccl", "cuda-runtime", "cuda-profiler-api")
"""Of one version, the oldest of CUDA 13: any driver for CUDA 13 has what it asks for. scripts/pycuda names the same."""
EXTRAS = {
    "cpu": CPU,
    "openvino": ["onnxruntime-openvino>=1.24"],
    "gpu": ["onnxruntime-gpu[cuda,cudnn]>=1.31,<1.32", "pycuda>=2025.1", "nvidia-ml-py>=12.560"],
    "kernels": [f"nvidia-{part}==13.0.*" for part in CUDA_PARTS],
    "xlsx": XLSX,
    "export": EXPORT,
    "paddle": ["rapidocr>=3.10", "tomli-w>=1.1"],
    "bridges": BRIDGES,
    "train": ["torch==2.13.0", "onnx>=1.21", "matplotlib>=3.9", "tomli-w>=1.1"],
    "test": TEST,
    "dev": [*CPU, *TEST],
}

data_packages = {f"anpr.data.{name}": name for name in DATA_FOLDERS if (ROOT / name).is_dir()}

setup(
    name="anpr",
    version=VERSION,
    description="Number plate recognition for Vietnamese expressways: RTSP in, settled plates and watch-list hits out",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["anpr", "anpr.*"]), *data_packages],
    package_dir={"anpr": "anpr", **data_packages},
    package_data={"anpr": ["py.typed", "**/*.csv", "schemas/*.json"], **{name: ["**/*"] for name in data_packages}},
    include_package_data=False,
    install_requires=[
        "numpy>=2.0",
        "opencv-python-headless>=4.10",
        "numba>=0.61",
        "av>=18.0,<19",
        "pyzmq>=27.0",
        "lmdb>=3.0",
        "cryptography>=44.0",
        "msgspec>=0.20",
        "pydantic>=2.10",
        "typer>=0.15",
        "rich>=13.9",
        "structlog>=24.4",
        "h11>=0.16",
        "prometheus-client>=0.21",
        "tree-sitter>=0.25",
        "tree-sitter-toml>=0.7",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["anpr = anpr.cli:main"]},
)
