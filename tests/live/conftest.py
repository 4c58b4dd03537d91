"""The page that these tests visit."""

from tests.panel._visit import visit

__all__ = ["visit"]
