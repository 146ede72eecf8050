# SPDX-License-Identifier: MIT
"""net: one HTTP exchange at a time, with everything that the other side may do to us bounded.

May use base only; runs on the node, so it is standard library only. What to ask, whom to believe and what to try again
is the caller's; `retry` holds the rules as data.
"""
