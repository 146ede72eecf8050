# SPDX-License-Identifier: MIT
"""What the verbs about keys and signatures share: small files, new files that replace nothing, and passphrases."""

from __future__ import annotations

from contextlib import contextmanager

from powernode.base.errors import DataError, OperatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    import os

    from powernode.signing import keys

    data = read(path)
    if b"-----BEGIN PUBLIC KEY-----" in data:
        raise OperatorError(
            "signing.key", f"{path} is a public key", expected="the secret half", hint=_other_half(path, ".pub", ".key")
        )
    with about(path, is_argument=True):
        try:
            return keys.load(data)
        except OperatorError as error:
            if error.code != "signing.key-encrypted":
                raise
    secret = passphrase(path)
    is_set = PASSPHRASE_VARIABLE in os.environ
    try:
        with about(path, is_argument=True):
            return keys.load(data, secret)
    except OperatorError as error:
        if error.code != "signing.passphrase":
            raise
        raise OperatorError(
            error.code,
            f"the passphrase does not open {path}",
            expected="the one it was encrypted with; a damaged key looks the same",
            found=f"{'another' if secret else 'an empty one'}, {f'in {PASSPHRASE_VARIABLE}' if is_set else 'typed'}",
            hint=f"set {PASSPHRASE_VARIABLE} to this key's, or unset it to be asked" if is_set else None,
        ) from error


def public_keys(path: str) -> bytes:
    """The PEM of the public keys in a file, of which each was looked at: the mistake of who named it has its name."""
    from powernode.trust.keys import load_public_keys

    data = read(path)
    try:
        with about(path, is_argument=True):
            load_public_keys(data)
    except OperatorError as error:
        if error.code != "trust.keys.label":
            raise
        found = error.found or "something else"
        hint = error.hint
        if "PRIVATE KEY" in found:
            hint = _other_half(path, ".key", ".pub") or f"`powernode keys show --public {path}` prints it"
        elif found == "CERTIFICATE":
            hint = "those who certify signers are believed with --ca-chain"
        raise OperatorError(
            error.code, f"{path} is no public key", expected="PUBLIC KEY", found=found, hint=hint
        ) from error
    return data


@contextmanager
def about(path: str, *, is_argument: bool = False) -> Iterator[None]:
    """What is refused inside is in this file; if `is_argument`, it is the wrong file, and not others' wrong bytes."""
    try:
        yield
    except (DataError, OperatorError) as error:
        kind = OperatorError if is_argument else type(error)
        message = f"{path}: {error.message}"
        raise kind(error.code, message, expected=error.expected, found=error.found, hint=error.hint) from error


def read(path: str, *, most: int = 1 << 20) -> bytes:
    """A small file that an argument names."""
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise OperatorError("cli.keys.no-file", f"{path} is no file", found=error.strerror) from error
    if len(data) > most:
        raise OperatorError("cli.keys.size", f"{path} is too long", expected=f"at most {most} bytes")
    return data


def _other_half(path: str, suffix: str, other: str) -> str | None:
    import os

    there = path.removesuffix(suffix) + other
    return f"that may be {there}" if path.endswith(suffix) and os.path.isfile(there) else None
