"""Benchmarks, one question a script: `python -m bench.NAME [--json] [--quick]` from the repository root."""
