"""Rendered plates and clips with their truth; `python -m scripts.render --help`."""
