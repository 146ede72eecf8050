# SPDX-License-Identifier: MIT
from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.agent.identity.fields import ANCHORS, CODES, AnchorError, check
from powernode.agent.identity.model import KEYS, Entry
from powernode.agent.identity.secret import Secret
from powernode.base.errors import DataError
from unit.agent.identity.trees import CERTIFICATE, UUID

ONE_LINE = base64.b64encode(CERTIFICATE.encode()).decode()
GOOD = [
    ("instance_uuid", UUID.upper(), UUID),
    ("instance_name", "node-7.Lab", "node-7.Lab"),
    ("platform_url", "https://p.example/", "https://p.example"),
    ("platform_url", "https://p.example:8443/base/", "https://p.example:8443/base"),
    ("platform_url", "https://[fe80::1]:8443", "https://[fe80::1]:8443"),
    ("platform_url", "https://[fe80::1]", "https://[fe80::1]"),
    ("ca_pem_url", "https://p.example/ca?format=pem", "https://p.example/ca?format=pem"),
    ("ca_pem", CERTIFICATE, CERTIFICATE),
    ("ca_pem", f"Issuer: us\r\n{CERTIFICATE.replace(chr(10), chr(13) + chr(10))}\n{CERTIFICATE}", CERTIFICATE * 2),
    ("ca_pem", ONE_LINE, CERTIFICATE),
    ("ca_pem", f"{ONE_LINE[:40]}\n{ONE_LINE[40:]}\n", CERTIFICATE),
    ("contract_version", "2", "2"),
]
BAD = {
    "empty uuid": ("instance_uuid", ""),
    "nil uuid": ("instance_uuid", "00000000-0000-0000-0000-000000000000"),
    "uuid without hyphens": ("instance_uuid", UUID.replace("-", "")),
    "uuid in braces": ("instance_uuid", "{" + UUID + "}"),
    "uuid with a path": ("instance_uuid", "../../../../-etc-pass-wd00-000000000000"),
    "uuid of other digits": ("instance_uuid", "٣" * 8 + UUID[8:]),
    "empty name": ("instance_name", ""),
    "name with a path": ("instance_name", "a/b"),
    "name with an empty label": ("instance_name", "a..b"),
    "name that is an option": ("instance_name", "-rf"),
    "name that is too long": ("instance_name", "a" * 65),
    "empty token": ("bootstrap_token", ""),
    "token with a space": ("bootstrap_token", "a b"),
    "token with a line break": ("bootstrap_token", "a\r\nX: y"),
    "token that is too long": ("bootstrap_token", "a" * 4097),
    "url of plain http": ("platform_url", "http://p.example"),
    "url in capitals": ("platform_url", "HTTPS://p.example"),
    "url without host": ("platform_url", "https:///path"),
    "url of dots": ("platform_url", "https://..."),
    "url with a password": ("platform_url", "https://user:s3cret@p.example"),
    "url with a backslash": ("platform_url", "https://p.example\\@evil.example"),
    "url with a query": ("platform_url", "https://p.example/?a=b"),
    "url with a fragment": ("ca_pem_url", "https://p.example/ca#a"),
    "url with port zero": ("platform_url", "https://p.example:0"),
    "url with a huge port": ("platform_url", "https://p.example:65536"),
    "url with an empty port": ("platform_url", "https://p.example:"),
    "url with other digits": ("platform_url", "https://p.example:٣"),
    "url with an open bracket": ("platform_url", "https://[fe80::1"),
    "url with text after the bracket": ("platform_url", "https://[fe80::1]evil.example"),
    "url of international letters": ("platform_url", "https://plаtform.example"),  # noqa: RUF001 that is the defect
    "url that is too long": ("platform_url", "https://p.example/" + "a" * 2048),
    "parent of plain http": ("parent_url", "http://p.example"),
    "empty ca": ("ca_pem", ""),
    "ca of rubbish": ("ca_pem", "no base64!"),
    "ca of base64 of rubbish": ("ca_pem", "cnViYmlzaA=="),
    "ca with a private key": ("ca_pem", CERTIFICATE + CERTIFICATE.replace("CERTIFICATE", "PRIVATE KEY")),
    "ca that is cut": ("ca_pem", CERTIFICATE[:-12]),
    "ca with an end and no beginning": ("ca_pem", "-----END CERTIFICATE-----\n" + CERTIFICATE),
    "ca in a ca": ("ca_pem", CERTIFICATE.splitlines()[0] + "\n" + CERTIFICATE),
    "ca that is no DER": ("ca_pem", CERTIFICATE.replace("MAMCAQE=", "AAAA")),
    "ca of 65 certificates": ("ca_pem", CERTIFICATE * 65),
    "federation value with a space": ("spawn_mode", "a b"),
    "federation value that is too long": ("parent_peer_id", "a" * 257),
}


@pytest.mark.parametrize(("key", "text", "expected"), GOOD)
def test_good_values(key: str, text: str, expected: str) -> None:
    assert check(key, Entry(text, "here"), allow_http=False) == expected


@pytest.mark.parametrize("defect", BAD)
def test_bad_values(defect: str) -> None:
    key, text = BAD[defect]
    with pytest.raises(DataError) as caught:
        check(key, Entry(text, "here"), allow_http=False)
    assert caught.value.code == CODES.get(key, "identity.federation")
    assert isinstance(caught.value, AnchorError) == (key in ANCHORS)
    assert "here" in caught.value.message
    assert "s3cret" not in str(caught.value)


def test_http_is_accepted_where_it_is_allowed() -> None:
    assert check("platform_url", Entry("http://10.0.2.2:80", "here"), allow_http=True) == "http://10.0.2.2:80"


@given(st.sampled_from(KEYS), st.text())
def test_any_text_is_a_value_or_a_refusal(key: str, text: str) -> None:
    try:
        value = check(key, Entry(text, "here"), allow_http=True)
    except DataError:
        return
    plain = value.reveal() if isinstance(value, Secret) else value
    assert plain.isascii()
    assert plain.replace("\n", "").isprintable()
    assert check(key, Entry(plain, "here"), allow_http=True) == value, "normal values stay as they are"
