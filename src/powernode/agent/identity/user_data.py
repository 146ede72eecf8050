# SPDX-License-Identifier: MIT
"""User data of a cloud: a JSON object or KEY=VALUE lines, with the same keys as every other source, at most 64 KiB.

A machine has one user data for everybody. What is visibly somebody else's (cloud-config, a script, MIME, gzip, or no
key of ours) does not apply and is no error; what looks like ours and is broken is refused.

    add(said, b'{"instance_uuid": "6f1c…"}', "user-data")       # None, or why it is not for us
"""

from __future__ import annotations

from powernode.agent.identity import keyvalue
from powernode.agent.identity.fields import refusal
from powernode.agent.identity.model import KEYS
from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.agent.identity.gather import Gathering

_FOREIGN = (
    (b"#!", "a script"),
    (b"#cloud-", "cloud-init's"),
    (b"#include", "cloud-init's"),
    (b"#part-handler", "cloud-init's"),
    (b"## template:", "cloud-init's"),
    (b"content-type:", "a MIME message"),
    (b"mime-version:", "a MIME message"),
    (b"\x1f\x8b", "compressed"),
    (b"<", "markup"),
)


def add(said: Gathering, data: bytes, place: str) -> str | None:
    """Hands the pairs to `said`; returns why not when they are not for us."""
    start = data.lstrip()[:32].lower()
    if not start:
        return f"{place} is empty"
    for mark, whose in _FOREIGN:
        if start.startswith(mark):
            return f"{place} is {whose}"
    pairs: list[tuple[str, object, str]]
    if start.startswith(b"{"):
        pairs = [(key, value, f"{place} {key}") for key, value in parse_json(data, place)]
    else:
        pairs = [(key, value, f"{place} line {line}") for line, key, value in keyvalue.parse(data, place)]
    if not any(key in KEYS for key, _, _ in pairs):
        return f"{place} has no key of ours"
    for key, value, where in pairs:
        if key not in KEYS:
            said.ignore(key)
        elif isinstance(value, str):
            said.add(key, value, where)
        else:
            raise refusal(key, f"{where} is no text")
    return None


def parse_json(data: bytes, place: str) -> list[tuple[str, object]]:
    """The pairs of an object in their order, a name may be there twice; objects inside are lists of pairs, too.

    Numbers are the text they are written as.
    """
    import json

    def refuse(constant: str) -> None:
        raise ValueError

    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=Object, parse_int=str, parse_float=str, parse_constant=refuse
        )
    except (ValueError, RecursionError):  # the text of a JSON error may quote a secret
        raise DataError("identity.user-data", f"{place} is not JSON") from None
    if not isinstance(value, Object):
        raise DataError("identity.user-data", f"{place} is not a JSON object")
    return value


class Object(list[tuple[str, object]]):
    """Tells an object from an array."""
