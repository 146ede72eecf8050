# SPDX-License-Identifier: MIT
"""powernode module sign"""

from __future__ import annotations

from powernode.base.errors import OperatorError
from powernode.cli.module.signing import ARTIFACT, REGISTRY_OPTIONS
from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from powernode.module.signing_services import Services
    from powernode.signing.artifact import Evidence, Signed, Signer
    from powernode.signing.issuers import Issuer
    from powernode.signing.stamp import Stamper

COMMAND = Command(
    "module sign",
    ARTIFACT,
    "Signs a module: its index, the manifest of every architecture and, in a layout, its SBOM, VEX and provenance (not "
    "in a registry, where others may have added some). Signatures are referrers (sigstore bundles) beside it. Sign "
    "with a key (--key), with a certificate of a private authority (--ca, --identity-token, --jwks), or with one that "
    "an authority gives over the network (--fulcio, --identity-token). A certificate lives ten minutes, so a timestamp "
    "says that it was good then: --ca adds its own, for --fulcio name a service with --tsa or a log with --rekor.",
    options=(
        Option("--key", "FILE", "a secret key: ours, PKCS #8 or cosign's; COSIGN_PASSWORD opens an encrypted one"),
        Option("--ca", "DIR", "an authority made by `powernode keys ca`"),
        Option("--fulcio", "URL", "an authority that speaks Fulcio's protocol"),
        Option("--identity-token", "FILE", "who signs: an OpenID Connect token"),
        Option("--jwks", "FILE", "the keys of whoever issued the token (JSON), for --ca"),
        Option(
            "--issuer", "URL", "who issued it and has these keys, where the authority of --ca takes several's tokens"
        ),
        Option("--rekor", "URL", "put every signature into this transparency log"),
        Option("--tsa", "URL", "get an RFC 3161 timestamp for every signature"),
        Option("--cosign-tag", None, "also write cosign's tag sha256-….sig"),
        *REGISTRY_OPTIONS,
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode module sign --key=publisher.key build/oci\n"
    "powernode module sign --ca=ca --identity-token=token --jwks=jwks.json build/oci\n"
    "powernode module sign --key=publisher.key --cosign-tag registry.example.com/acme/redis:v1.0.0",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    from powernode.base.text import clean
    from powernode.cli.module.signing import open_store
    from powernode.module import sign
    from powernode.module.signing_stores import LayoutStore

    services = _services(arguments)
    signer, stamper = _signer(arguments, services)
    store, version, name = open_store(arguments.operands[0], arguments)
    done = []
    for each in sign.sign(
        store,
        version,
        signer,
        name=name,
        evidence=lambda signed: _evidence(signed, services, stamper),
        cosign_tag=arguments.cosign_tag,
        attest=isinstance(store, LayoutStore),
    ):
        done.append(each)
        if not arguments.json:
            print(f"signed {clean(each.what)} {each.digest}\n  {each.where}")
    if arguments.json:
        import json

        signatures = [{"digest": each.digest, "what": each.what, "where": each.where} for each in done]
        print(json.dumps({"digest": done[-1].digest, "signer": _described(signer), "signatures": signatures}))
        return 0
    many = f"{len(done)} signature{'' if len(done) == 1 else 's'}"
    print(f"{many} by {', '.join(f'{name} {clean(value)}' for name, value in _described(signer).items())}")
    return 0


def _services(arguments: Arguments) -> Services | None:
    if not (arguments.rekor or arguments.tsa or arguments.fulcio):
        return None
    import time

    from powernode.module.signing_services import Services
    from powernode.net.transport import HttpTransport, tls_context

    transport = HttpTransport(time.monotonic, tls=lambda: tls_context(ca_file=arguments.ca_file))
    return Services(transport, rekor=arguments.rekor, tsa=arguments.tsa)


def _evidence(signed: Signed, services: Services | None, stamper: Stamper | None) -> Evidence:
    """What others say; a private authority's own timestamp if nobody else's was asked for."""
    import time
    from dataclasses import replace

    from powernode.signing.artifact import Evidence

    found = services.evidence(signed) if services is not None else Evidence()
    if stamper is not None and found.timestamp is None:
        found = replace(found, timestamp=stamper.stamp(signed.signature, now=int(time.time())))
    return found


def _signer(arguments: Arguments, services: Services | None) -> tuple[Signer, Stamper | None]:
    chosen = [name for name in ("key", "ca", "fulcio") if getattr(arguments, name)]
    if len(chosen) != 1:
        raise OperatorError(
            "cli.module.signer",
            "who signs?",
            expected="one of --key, --ca and --fulcio",
            found=" ".join(chosen) or None,
        )
    if arguments.key:
        return _by_key(arguments.key), None
    needed = ("identity_token", "jwks") if arguments.ca else ("identity_token",)
    for name in needed:
        if not getattr(arguments, name):
            option = f"--{name.replace('_', '-')}"
            raise OperatorError("cli.module.signer", f"--{chosen[0]} needs {option}", expected=f"{option}=FILE")
    from powernode.cli.keys.files import read

    if services is not None and arguments.fulcio:
        return services.certified(arguments.fulcio, read(arguments.identity_token)), None
    return _by_authority(arguments.ca, arguments.identity_token, arguments.jwks, arguments.issuer)


def _by_key(path: str) -> Signer:
    from powernode.cli.keys.files import load_key
    from powernode.signing.artifact import Signer

    return Signer(key=load_key(path))


def _by_authority(folder: str, token: str, key_set: str, url: str | None) -> tuple[Signer, Stamper]:
    """`token` and `key_set` are files."""
    import time
    from pathlib import Path

    from powernode.cli.keys.files import about, read
    from powernode.signing import authority, ca, jwks, oidc
    from powernode.signing.artifact import Signer
    from powernode.signing.keys import new_key

    now = int(time.time())
    issuing, issuers = authority.load(Path(folder))
    issuer = _issuer(folder, issuers, url)
    with about(key_set):
        public = jwks.parse(read(key_set))
    with about(token):
        identity = oidc.verify(read(token), issuer, public, now=now)
    key = new_key("ecdsa-p256")
    certificate = ca.issue(issuing, key.public_key(), ca.prove(key, identity.challenge), identity, now=now)
    return Signer(key=key, certificate=certificate, chain=issuing.chain), issuing.stamper


def _issuer(folder: str, issuers: Sequence[Issuer], url: str | None) -> Issuer:
    """Whose keys they are is not for the token to say: one issuer would name what is another's."""
    from powernode.signing.issuers import EXAMPLE

    found = [each for each in issuers if url in (None, each.url)]
    if len(found) == 1:
        return found[0]
    if not issuers:
        raise OperatorError(
            "cli.module.signer",
            f"the authority in {folder} takes nobody's tokens",
            expected="an issuer in its issuers.json",
            found="an empty list",
            hint=f"write into {folder}/issuers.json: [{EXAMPLE}]",
        )
    raise OperatorError(
        "cli.module.signer",
        "whose token is it?" if url is None else f"the authority in {folder} takes no tokens of this issuer",
        expected=" or ".join(f"--issuer={each.url}" for each in issuers),
        found=url or f"{len(issuers)} issuers in {folder}/issuers.json",
        hint=None if url is None else f"if it may sign, name it in {folder}/issuers.json",
    )


def _described(signer: Signer) -> dict[str, str]:
    from powernode.signing import certificates, keys

    if signer.certificate is None:
        return {"key": keys.key_id(signer.key)}
    found = certificates.describe_der(signer.certificate)
    return {"subject": found.subject, "until": f"{found.not_after:%Y-%m-%dT%H:%M:%SZ}"}
