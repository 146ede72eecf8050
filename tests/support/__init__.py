# SPDX-License-Identifier: MIT
"""What tests need from outside: packages of the distribution's archive, and the reference tools in them."""
