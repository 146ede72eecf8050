# SPDX-License-Identifier: MIT
"""The verbs of `powernode module`, one file each."""
