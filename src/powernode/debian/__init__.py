# SPDX-License-Identifier: MIT
"""debian: the distribution's archive as a pinned input: which packages (the lock), asked of apt, fetched and checked.

May use archive and base. On the operator's side only; modules and images are made from what comes out of here.
"""
