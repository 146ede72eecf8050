# SPDX-License-Identifier: MIT
"""The steps of plans, one small module each: frozen values that say what they will do, and do it."""
