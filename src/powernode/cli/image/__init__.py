# SPDX-License-Identifier: MIT
"""The verbs of `powernode image`, one file each."""
