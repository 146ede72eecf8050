# SPDX-License-Identifier: MIT
"""Checks and normalises what a source said, key by key; a source with one bad value is refused as a whole.

The trust anchors (where the platform is, which CA vouches for it) raise `AnchorError`, which ends the cascade: a
machine that was given a platform and cannot understand it must not take another one from a source of lower rank.

    check("instance_uuid", Entry("6F1C…", "…"), allow_http=False)       # "6f1c…"
"""

from __future__ import annotations

import binascii

from powernode.agent.identity.model import SECRETS, SETTINGS, Entry
from powernode.agent.identity.secret import Secret
from powernode.base.errors import DataError

ANCHORS = (*SETTINGS, "parent_url")
CODES = {
    "instance_uuid": "identity.uuid",
    "instance_name": "identity.name",
    "bootstrap_token": "identity.token",
    "platform_url": "identity.platform-url",
    "ca_pem": "identity.ca-pem",
    "ca_pem_url": "identity.ca-pem-url",
    "parent_url": "identity.parent-url",
}
_HEX = frozenset("0123456789abcdefABCDEF")
_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_LONGEST = {"bootstrap_token": 4096, "acceptance_token": 4096, "platform_url": 2048, "ca_pem_url": 2048}
_MOST_CERTIFICATES = 64


class AnchorError(DataError):
    """A source says where the platform is or whom to trust, in a way that must not be overlooked."""


def refusal(key: str, message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    """The error for a bad value of `key`; never shows a secret."""
    kind = AnchorError if key in ANCHORS else DataError
    shown = None if key in SECRETS else found
    return kind(CODES.get(key, "identity.federation"), message, expected=expected, found=shown)


def check(key: str, entry: Entry, *, allow_http: bool) -> str | Secret:
    """The value as the rest of the agent wants it."""
    value, place = entry.value, entry.place
    if key == "ca_pem":
        return certificates(value, place)
    if key == "instance_uuid":
        return uuid(value, place)
    if key == "instance_name":
        return host_name(value, place)
    _printable(key, value, place)
    if key in ANCHORS:
        return url(key, value, place, allow_http=allow_http)
    return Secret(value) if key in SECRETS else value


def is_uuid(text: str) -> bool:
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(_HEX.issuperset(part) for part in parts)


def uuid(text: str, place: str) -> str:
    if not is_uuid(text) or not text.strip("0-"):
        raise refusal(
            "instance_uuid",
            f"{place} is no instance UUID",
            expected="8-4-4-4-12 hexadecimal digits, not all zero",
            found=repr(text[:80]),
        )
    return text.lower()


def host_name(text: str, place: str) -> str:
    labels = text.split(".")
    good = len(text) <= 64 and all(
        0 < len(label) < 64 and _ALNUM.issuperset(label.replace("-", "")) and label[0] != "-" and label[-1] != "-"
        for label in labels
    )
    if not good:
        raise refusal(
            "instance_name",
            f"{place} is no host name",
            expected="labels of letters, digits and inner hyphens, at most 64 characters",
            found=repr(text[:80]),
        )
    return text


def _printable(key: str, text: str, place: str) -> None:
    longest = _LONGEST.get(key, 256)
    if not 0 < len(text) <= longest or not all("!" <= character <= "~" for character in text):
        raise refusal(
            key,
            f"{place} is no value for {key}",
            expected=f"1 to {longest} printable ASCII characters without spaces",
            found=repr(text[:80]),
        )


def url(key: str, text: str, place: str, *, allow_http: bool) -> str:
    """An absolute URL without user, fragment and, where others append paths to it, without a query."""
    schemes = ("https", "http") if allow_http else ("https",)
    scheme, separator, rest = text.partition("://")
    authority = rest.partition("/")[0].partition("?")[0]
    forbidden = "#\\" if key == "ca_pem_url" else "#\\?"
    if scheme not in schemes or not separator or not _authority(authority) or any(c in text for c in forbidden):
        raise refusal(
            key,
            f"{place} is no address that may be used",
            expected=f"{' or '.join(schemes)}://HOST[:PORT][/PATH]",
            found=_without_user(text),
        )
    return text.rstrip("/")


def _authority(text: str) -> bool:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        good = bool(bracket) and ":" in host and (_HEX | {":", "."}).issuperset(host)
        if port and not port.startswith(":"):
            return False
        port = port[1:] if port else "443"
    else:
        host, colon, port = text.partition(":")
        good = bool(host.strip(".-")) and (_ALNUM | {".", "-"}).issuperset(host)
        port = port if colon else "443"
    return good and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536


def _without_user(text: str) -> str:
    """A password may stand before the @."""
    return repr(text[:80]) if "@" not in text else "an address with a user"


def certificates(text: str, place: str) -> str:
    """PEM certificates, or base64 of them for places without line breaks; what stands between them is dropped."""
    if "-----BEGIN" not in text:
        try:
            # A line break inside the base64 is what every tool makes of it.
            text = binascii.a2b_base64("".join(text.split()), strict_mode=True).decode("ascii")
        except ValueError:  # binascii.Error and both Unicode errors are ValueErrors
            raise refusal("ca_pem", f"{place} is neither PEM nor base64 of PEM") from None
    blocks: list[str] = []
    body: list[str] | None = None
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("-----"):
            opening = body is None
            if line != ("-----BEGIN CERTIFICATE-----" if opening else "-----END CERTIFICATE-----"):
                raise refusal("ca_pem", f"{place} holds something other than certificates", found=repr(line[:60]))
            if body is not None:
                blocks.append(_block(body, place))
            body = [] if opening else None
        elif body is not None:
            body.append(line)
    if body is not None or not 0 < len(blocks) <= _MOST_CERTIFICATES:
        raise refusal("ca_pem", f"{place} has {len(blocks)} whole certificates", expected=f"1 to {_MOST_CERTIFICATES}")
    return "".join(blocks)


def _block(body: list[str], place: str) -> str:
    try:
        der = binascii.a2b_base64("".join(body), strict_mode=True)
    except ValueError:
        der = b""
    if not der.startswith(b"\x30"):  # SEQUENCE; the rest is judged by the TLS library
        raise refusal("ca_pem", f"{place} has a certificate that is not base64 of DER")
    text = binascii.b2a_base64(der, newline=False).decode()
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
