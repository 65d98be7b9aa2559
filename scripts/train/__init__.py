"""The training system: `python -m scripts.train reader|detector|export|boxes --help`."""
