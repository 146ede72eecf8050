# SPDX-License-Identifier: MIT
"""What the verbs about keys and signatures share: small files, new files that replace nothing, and passphrases."""

from __future__ import annotations

from powernode.base.errors import OperatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from powernode.signing.keys import PrivateKey

PASSPHRASE_VARIABLE = "COSIGN_PASSWORD"
"""cosign's name for it, so that one setting serves both."""


def write_new(files: Mapping[str, tuple[bytes, bool]]) -> None:
    """Make each file with its content, readable for its owner alone if it is secret; none of them may be there yet."""
    import os

    for path in files:
        if os.path.lexists(path):
            raise OperatorError(
                "cli.keys.exists", f"{path} is there already", hint="choose another name, or move it away"
            )
    for path, (data, is_secret) in files.items():
        # O_EXCL again: between the look and the making somebody else may have come.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if is_secret else 0o644)
        with open(fd, "wb") as file:
            file.write(data)


def passphrase(what: str, *, is_new: bool = False) -> bytes:
    """From the environment, else from the terminal; a new one is asked for twice."""
    import os
    import sys

    value = os.environb.get(PASSPHRASE_VARIABLE.encode())
    if value is not None:
        return value
    if not sys.stdin.isatty():
        raise OperatorError("cli.keys.no-passphrase", f"{what} needs a passphrase", hint=f"set {PASSPHRASE_VARIABLE}")
    from getpass import getpass

    typed = getpass(f"passphrase of {what}: ")
    if is_new and getpass("once more: ") != typed:
        raise OperatorError("cli.keys.passphrase-differs", "the two passphrases are not the same")
    return typed.encode()


def load_key(path: str) -> PrivateKey:
    """The secret key in a file; the passphrase is looked for only if there is one."""
    from powernode.signing import keys

    data = read(path)
    try:
        return keys.load(data)
    except OperatorError as error:
        if error.code != "signing.key-encrypted":
            raise
    return keys.load(data, passphrase(path))


def read(path: str, *, most: int = 1 << 20) -> bytes:
    """A small file."""
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OperatorError("cli.keys.size", f"{path} is too long", expected=f"at most {most} bytes")
    return data
