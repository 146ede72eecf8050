# SPDX-License-Identifier: MIT
"""Powernode: machines that run exactly the signed files they were assigned.

Nothing is imported here: start-up time on a node is counted in milliseconds, so every package is loaded by whoever
needs it and by nobody else.
"""

__version__ = "0.1.0"
