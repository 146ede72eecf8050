# SPDX-License-Identifier: MIT
"""Finds the C library once and says through which door: cffi, else ctypes, else none.

POWERNODE_NATIVE=auto (default) uses the library when it is there, `require` fails without it, `off` never opens it.
POWERNODE_NATIVE_DOOR=cffi|ctypes insists on one door. A library that is there but broken is always an error: falling
back in silence would turn a bad build into a slow one.

    library = native.library()          # None when there is none or it is off
    library.call("pn_abi_version")      # buffers become pointers, ints stay ints
"""

from __future__ import annotations

import os

from powernode.base.errors import MachineError, OperatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from typing_extensions import Buffer

    class Library(Protocol):
        """One of the doors."""

        door: str
        path: str

        def call(self, name: str, *arguments: int | Buffer | None) -> int: ...

        def view(self, address: int, size: int) -> memoryview: ...


ABI_VERSION = 1
_ON_A_NODE = "/usr/lib/powernode/libpowernode.so"  # the same library without its Python half

_library: Library | None = None
_reason: str | None = None


def library() -> Library | None:
    """The library, opened at the first call; None when it is off or was not built."""
    if _reason is None:
        _open()
    return _library


def reason() -> str:
    """Why the library is in use or not, for `powernode --version` and error messages."""
    library()
    return _reason or ""


def reset() -> None:
    """Forgets the choice, so that the next call reads the environment again; for tests."""
    global _library, _reason
    _library = _reason = None


def _open() -> None:
    global _library, _reason
    mode = os.environ.get("POWERNODE_NATIVE", "auto")
    if mode not in ("auto", "require", "off"):
        raise OperatorError(
            "native.mode", "POWERNODE_NATIVE cannot be understood", expected="auto, require or off", found=mode
        )
    if mode == "off":
        _library, _reason = None, "off by POWERNODE_NATIVE"
        return
    door = os.environ.get("POWERNODE_NATIVE_DOOR", "")
    if door not in ("", "cffi", "ctypes"):
        raise OperatorError(
            "native.door", "POWERNODE_NATIVE_DOOR cannot be understood", expected="cffi or ctypes", found=door
        )
    try:
        opened = None if door == "ctypes" else _through_cffi()
        if opened is None and door != "cffi":
            opened = _through_ctypes()
        version = ABI_VERSION if opened is None else opened.call("pn_abi_version")
    except (ImportError, OSError, AttributeError) as error:
        raise MachineError(
            "native.broken",
            "the C library is there but cannot be opened",
            found=str(error),
            hint="build it again with `pip install .`, or set POWERNODE_NATIVE=off",
        ) from error
    if opened is None:
        if mode == "require" or door:
            cause = "POWERNODE_NATIVE_DOOR" if door else "POWERNODE_NATIVE"
            raise MachineError(
                "native.missing",
                f"the C library is required but {f'has no {door} door here' if door else 'was not built'}",
                expected="powernode/native/_powernode.abi3.so",
                hint=f"run `pip install .` in the checkout, or unset {cause}",
            )
        _library, _reason = None, "not built"
        return
    if version != ABI_VERSION:
        raise MachineError(
            "native.version",
            f"{opened.path} belongs to another version of Powernode",
            expected=f"interface {ABI_VERSION}",
            found=f"interface {version}",
            hint="build it again with `pip install .`",
        )
    _library, _reason = opened, f"{opened.door} door of {opened.path}"


def _through_cffi() -> Library | None:
    try:
        from powernode.native._cffi_door import CffiLibrary
    except ModuleNotFoundError as error:
        # A node has neither cffi nor our door to it.
        if error.name not in ("_cffi_backend", "powernode.native._powernode", "powernode.native._cffi_door"):
            raise
        return None
    return CffiLibrary()


def _through_ctypes() -> Library | None:
    path = os.path.join(os.path.dirname(__file__), "_powernode.abi3.so")
    if not os.path.exists(path):
        path = _ON_A_NODE
        if not os.path.exists(path):
            return None
    from powernode.native._ctypes_door import CtypesLibrary

    return CtypesLibrary(path)
