"""anpr: automatic number plate recognition for Vietnamese expressways."""

__version__ = "0.1.0"
