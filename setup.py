# SPDX-License-Identifier: MIT
"""Only what pyproject.toml cannot say: where the cffi builder is."""

from setuptools import setup

setup(cffi_modules=["csrc/ffi/build.py:ffi"], options={"bdist_wheel": {"py_limited_api": "cp311"}})
