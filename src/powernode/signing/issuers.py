# SPDX-License-Identifier: MIT
"""Whose identity tokens an authority takes, and how the claims of each kind of issuer become a certificate's names.

Invariants: the tables are those of Fulcio for the same issuers (its `ci-provider` configuration), so certificates of a
private authority match the patterns people wrote for the public one. `{claim}` stands for a claim of the token and
`{base}` for where the issuer's repositories are; a subject lacking one of its claims is no subject.

Out of scope: checking tokens (`oidc`).

    issuers = parse(b'[{"issuer": "https://git.example.org/api/actions", "kind": "gitea"}]')
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from powernode.base import canonical
from powernode.base.errors import OperatorError
from powernode.base.fields import Fields

__all__ = ["AUDIENCE", "EXAMPLE", "KINDS", "MAPPINGS", "Issuer", "NameRules", "encode", "parse"]

AUDIENCE = "sigstore"
"""What tools that ask CI systems for tokens to sign with put into `aud`."""

EXAMPLE = '{"issuer": "https://git.example.org", "kind": "gitea"}'
"""An entry of the list, for people who have to write one."""

MAX_BYTES = 64 << 10
_MAX_ISSUERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRules:
    """Templates; `extensions` by the last number of Fulcio's object identifiers 1.3.6.1.4.1.57264.1.N."""

    subject: str
    is_email: bool = False
    extensions: Mapping[int, str]


_GITHUB = {
    2: "{event_name}",
    3: "{sha}",
    4: "{workflow}",
    5: "{repository}",
    6: "{ref}",
    9: "{base}/{job_workflow_ref}",
    10: "{job_workflow_sha}",
    11: "{runner_environment}",
    12: "{base}/{repository}",
    13: "{sha}",
    14: "{ref}",
    15: "{repository_id}",
    16: "{base}/{repository_owner}",
    17: "{repository_owner_id}",
    18: "{base}/{workflow_ref}",
    19: "{workflow_sha}",
    20: "{event_name}",
    21: "{base}/{repository}/actions/runs/{run_id}/attempts/{run_attempt}",
    22: "{repository_visibility}",
}
_GITLAB = {
    9: "https://{ci_config_ref_uri}",
    10: "{ci_config_sha}",
    11: "{runner_environment}",
    12: "{base}/{project_path}",
    13: "{sha}",
    14: "{ref_path}",
    15: "{project_id}",
    16: "{base}/{namespace_path}",
    17: "{namespace_id}",
    18: "https://{ci_config_ref_uri}",
    19: "{ci_config_sha}",
    20: "{pipeline_source}",
    21: "{base}/{project_path}/-/jobs/{job_id}",
    22: "{project_visibility}",
}

MAPPINGS: Mapping[str, NameRules] = {
    "github": NameRules(subject="{base}/{job_workflow_ref}", extensions=_GITHUB),
    "gitea": NameRules(subject="{base}/{job_workflow_ref}", extensions=_GITHUB),  # Gitea's tokens follow GitHub's
    "gitlab": NameRules(subject="https://{ci_config_ref_uri}", extensions=_GITLAB),
    "email": NameRules(subject="{email}", is_email=True, extensions={}),
    "uri": NameRules(subject="{sub}", extensions={}),
}
KINDS = tuple(MAPPINGS)

_BASES = {"github": "https://github.com"}  # its tokens come from another host than its repositories


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """`url` is compared with the token's `iss` as a whole."""

    url: str
    kind: str
    audience: str = AUDIENCE
    base: str

    @classmethod
    def of(cls, url: str, kind: str, *, audience: str = AUDIENCE, base: str | None = None) -> Issuer:
        """`base` is where the repositories are: where nothing else is known, the host of `url`."""
        if kind not in MAPPINGS:
            raise _refusal("no such kind of issuer", expected=", ".join(KINDS), found=repr(kind))
        for address in (url, base or url):
            parts = urlsplit(address)
            if parts.scheme not in ("https", "http") or not parts.netloc or "@" in parts.netloc or parts.query:
                raise _refusal("an issuer is an address", expected="https://…", found=repr(address[:200]))
        if not audience:
            raise _refusal("an issuer's tokens are for somebody", expected="an audience")
        parts = urlsplit(url)
        chosen = base or _BASES.get(kind) or f"{parts.scheme}://{parts.netloc}"
        return cls(url=url, kind=kind, audience=audience, base=chosen.rstrip("/"))


def parse(data: bytes) -> tuple[Issuer, ...]:
    """A JSON list of objects with `issuer`, `kind` and, if need be, `audience` and `base`."""
    document = canonical.decode(data, what="the list of issuers", max_bytes=MAX_BYTES)
    if not isinstance(document, list) or len(document) > _MAX_ISSUERS:
        raise _refusal("the issuers are no list", expected=f"[{EXAMPLE}], of at most {_MAX_ISSUERS}")
    found = []
    for number, each in enumerate(document, 1):
        what = f"issuer {number} of the list"
        if not isinstance(each, dict):
            raise _refusal(f"{what} is no object", expected=EXAMPLE, found=repr(each)[:200])
        with Fields(each, code="signing.issuers", what=what) as item:
            base = item.text("base") if item.has("base") else None
            audience = item.text("audience", AUDIENCE)
            found.append(Issuer.of(item.text("issuer"), item.text("kind"), audience=audience, base=base))
    if len({each.url for each in found}) != len(found):
        raise _refusal("an issuer is in the list twice")
    return tuple(found)


def encode(issuers: Sequence[Issuer]) -> bytes:
    return canonical.encode(
        [{"issuer": each.url, "kind": each.kind, "audience": each.audience, "base": each.base} for each in issuers]
    )


def _refusal(message: str, *, expected: str | None = None, found: str | None = None) -> OperatorError:
    return OperatorError("signing.issuers", message, expected=expected, found=found)
