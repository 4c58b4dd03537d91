"""One file per question; each has a ``STUDY``."""
