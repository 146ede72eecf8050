# SPDX-License-Identifier: MIT
"""Archive formats, read and written as streams, every length bounded before it is believed.

May use base and native. Import the module you need; importing the package costs nothing.
"""
