# SPDX-License-Identifier: MIT
"""What every other package may use: errors, digests. Imports nothing of ours and only cheap standard library."""
