"""What another tool wrote of a run: read into the tables of a trace, most of them not observed."""

from kit.logs.reading import explained, load_run, read_log
from kit.logs.result import Log

__all__ = ["Log", "explained", "load_run", "read_log"]
