# SPDX-License-Identifier: MIT
"""OpenID Connect identity tokens: is this one genuine, meant for us and still good, and whom does it name.

Invariants: `verify` returns only what the issuer we chose has signed for our audience, and that is valid now; nothing
in the token decides which issuer, keys or algorithms are acceptable: the keys are that issuer's, so that of several
whose tokens are taken none can speak for another. How claims become the name in a
certificate is data (`issuers`), the same as Fulcio's, so that the patterns people wrote for cosign still match.

Out of scope: getting a token or a key set.

    identity = verify(token, Issuer.of("https://git.example.org", "gitea"), jwks.parse(data), now=now)
    identity.subject        # https://git.example.org/acme/redis/.gitea/workflows/build.yaml@refs/tags/v1.0.0
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.base.fields import Fields
from powernode.signing import jwks
from powernode.signing.encoding import from_base64url
from powernode.signing.issuers import MAPPINGS, Issuer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from powernode.base.canonical import Json

__all__ = ["MAX_BYTES", "Identity", "challenge", "verify"]

MAX_BYTES = 32 << 10
_CODE = "signing.token"
_WHAT = "the identity token"
_SKEW_S = 60
"""How far the issuer's clock may be ahead of ours; that a token is over is never forgiven."""

_LONGEST_SUBJECT = 2048
_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom a certificate may name."""

    issuer: str
    subject: str
    is_email: bool
    challenge: str
    """What the key's holder signs to prove that it has the key (Fulcio's rule)."""

    extensions: Mapping[int, str]
    """By the last number of Fulcio's object identifiers 1.3.6.1.4.1.57264.1.N; without the issuer."""


def verify(token: bytes, issuer: Issuer, keys: Sequence[jwks.Key], *, now: int) -> Identity:
    """Whom the token names, if it is by `issuer`, whose keys these are; codes json.* and signing.token.*."""
    header, claims, message, signature = _parts(token)
    with Fields(header, code=_CODE, what="the token's header") as fields:
        algorithm = fields.text("alg", longest=32)
        key_id = fields.text("kid", longest=1024) if fields.has("kid") else None
        if fields.has("crit"):
            raise _refusal(
                "critical", "the token is only for those who know its extensions", found=repr(header["crit"])
            )
        fields.ignore_others()
    with Fields(claims, code=_CODE, what=_WHAT) as fields:
        url = fields.text("iss")
        if url != issuer.url:
            raise _refusal("issuer", "the token is by another issuer", expected=issuer.url, found=repr(url[:200]))
        jwks.check(keys, key_id=key_id, algorithm=algorithm, message=message, signature=signature)
        expiry = fields.integer("exp", least=0)
        start = max(fields.integer(name, 0, least=0) for name in ("nbf", "iat"))
        fields.ignore_others()
    audiences = claims.get("aud")
    if issuer.audience not in (audiences if isinstance(audiences, list) else [audiences]):
        found = repr(audiences)[:200]
        raise _refusal("audience", "the token is meant for somebody else", expected=issuer.audience, found=found)
    if now >= expiry:
        raise _refusal("expired", "the token is over", expected=f"before {_utc(expiry)}", found=f"it is {_utc(now)}")
    if now < start - _SKEW_S:
        raise _refusal(
            "early", "the token is not valid yet", expected=f"from {_utc(start)} on", found=f"it is {_utc(now)}"
        )
    return _identity(issuer, claims)


def challenge(token: bytes) -> str:
    """What to sign to prove possession of a key to an authority that verifies the token itself."""
    return _challenge(_parts(token)[1])


def _parts(token: bytes) -> tuple[dict[str, Json], dict[str, Json], bytes, bytes]:
    """Header, claims, what was signed, signature."""
    if len(token) > MAX_BYTES:
        raise _refusal("size", f"{_WHAT} is too long", expected=f"at most {MAX_BYTES} bytes", found=f"{len(token)}")
    try:
        head, body, signature = token.strip().decode("ascii").split(".")
    except ValueError:
        raise _refusal("malformed", "this is no identity token", expected="three parts with dots between") from None
    value = from_base64url(signature, code=f"{_CODE}.malformed", what="the token's signature")
    return _document(head, "the token's header"), _document(body, _WHAT), f"{head}.{body}".encode(), value


def _document(text: str, what: str) -> dict[str, Json]:
    data = from_base64url(text, code=f"{_CODE}.malformed", what=what)
    value = canonical.decode(data, what=what, max_bytes=MAX_BYTES)
    if not isinstance(value, dict):
        raise _refusal("malformed", f"{what} is no object")
    return value


def _identity(issuer: Issuer, claims: Mapping[str, Json]) -> Identity:
    rules = MAPPINGS[issuer.kind]
    values = {name: str(value) for name, value in claims.items() if type(value) in (str, int) and value != ""}
    values["base"] = issuer.base
    subject = _filled(rules.subject, values)
    if subject is None:
        wanted = ", ".join(name for name in _NAME.findall(rules.subject) if name not in values)
        raise _refusal("claim", f"the token lacks what names a {issuer.kind} identity", expected=f"the claims {wanted}")
    if rules.is_email and claims.get("email_verified") is not True:
        raise _refusal("email", "the issuer has not verified this mail address", found=repr(subject[:200]))
    if issuer.kind == "uri" and not subject.startswith(issuer.base + "/"):
        raise _refusal(
            "subject", "an issuer names only what is its own", expected=f"{issuer.base}/…", found=subject[:200]
        )
    # What certificates hold is IA5String; and nobody may bring in line breaks that a log or a pattern would meet.
    if len(subject) > _LONGEST_SUBJECT or not all("!" <= character <= "~" for character in subject):
        raise _refusal("subject", "the identity cannot be in a certificate", found=repr(subject[:200]))
    extensions = {number: _filled(template, values) for number, template in rules.extensions.items()}
    return Identity(
        issuer=issuer.url,
        subject=subject,
        is_email=rules.is_email,
        challenge=_challenge(claims),
        extensions={n: text for n, text in extensions.items() if text is not None and len(text) <= _LONGEST_SUBJECT},
    )


def _filled(template: str, values: Mapping[str, str]) -> str | None:
    if any(name not in values for name in _NAME.findall(template)):
        return None
    return _NAME.sub(lambda match: values[match[1]], template)


def _challenge(claims: Mapping[str, Json]) -> str:
    """The mail address if there is one, else the subject: the rule of the clients of Fulcio."""
    for name in ("email", "sub"):
        value = claims.get(name)
        if isinstance(value, str) and value:
            return value
    raise _refusal("claim", "the token names nobody", expected="the claim sub")


def _utc(seconds: int) -> str:
    """As RFC 3339 has it; a token may say any number."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _refusal(cause: str, message: str, *, expected: str | None = None, found: str | None = None) -> DataError:
    return DataError(f"{_CODE}.{cause}", message, expected=expected, found=found)
