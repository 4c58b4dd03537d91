"""`python -m kit lab`: JupyterLab on a working copy of the notebooks."""

from kit.lab.copy import Copied, working_copy
from kit.lab.server import FIRST_PORT, PortError, choose_port, serve

__all__ = ["FIRST_PORT", "Copied", "PortError", "choose_port", "serve", "working_copy"]
