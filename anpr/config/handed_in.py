"""Files of rows that people hand in, watch-lists, registers and declarations: how much may be wrong with one."""

MAX_BAD = 0.01
"""A file with a larger share of bad rows is refused; with fewer, they are left out and told."""
MAX_VANISHING = 0.2
"""A file from which a larger share of the plates in use has gone is refused: most likely it is half a file."""
