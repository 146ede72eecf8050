# SPDX-License-Identifier: MIT
from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powernode.agent.identity import smbios
from powernode.agent.identity.fields import AnchorError
from powernode.base.errors import DataError
from unit.agent.identity.trees import CERTIFICATE, OTHER, UUID, Tree, oem_strings, plenty, values

TEXT = b"io.systemd.credential:powernode."
BINARY = b"io.systemd.credential.binary:powernode."


def test_text_and_binary_credentials_among_other_strings(tree: Tree) -> None:
    tree.smbios(b"Dell System", b"\xff\xfe", TEXT + b"instance_uuid=" + UUID.encode(), TEXT + b"colour=red")
    tree.smbios(BINARY + b"ca_pem=" + base64.b64encode(CERTIFICATE.encode()), entry="11-1")
    tree.put("sys/firmware/dmi/entries/1-0/raw", b"another type")
    found = smbios.read(tree.around(), plenty())
    assert values(found) == {"instance_uuid": UUID, "ca_pem": CERTIFICATE.rstrip()}
    assert found.entries["instance_uuid"].place == "11-0 string 3"
    assert found.remark == "unknown keys ignored: colour"


def test_strings_of_somebody_else(tree: Tree) -> None:
    tree.smbios(b"io.systemd.credential:tty.virtual.tty1.agetty.autologin=root")
    found = smbios.read(tree.around(), plenty())
    assert (values(found), found.remark) == ({}, "no powernode.* credential among the OEM strings")


def test_a_structure_without_strings() -> None:
    assert smbios.strings(oem_strings()) == []


GOOD = oem_strings(b"a", b"bc")
BROKEN = {
    "empty": b"",
    "shorter than its header": GOOD[:4],
    "of another type": b"\x01" + GOOD[1:],
    "length below the header": GOOD[:1] + b"\x04" + GOOD[2:],
    "length past the end": GOOD[:1] + b"\xff" + GOOD[2:],
    "last string cut": GOOD[:-2],
    "no end of strings": GOOD[:-1],
    "header only": GOOD[:5],
}


@pytest.mark.parametrize("defect", BROKEN)
def test_broken_structures(tree: Tree, defect: str) -> None:
    assert smbios.strings(GOOD) == [b"a", b"bc"]
    tree.put("sys/firmware/dmi/entries/11-0/raw", BROKEN[defect])
    with pytest.raises(DataError) as caught:
        smbios.read(tree.around(), plenty())
    assert caught.value.code == "identity.smbios"


@pytest.mark.parametrize(
    ("string", "code", "ends"),
    [
        (TEXT + b"instance_uuid", "identity.smbios", False),
        (BINARY + b"instance_uuid=!", "identity.uuid", False),
        (BINARY + b"ca_pem=!", "identity.ca-pem", True),
        (TEXT + b"platform_url=\xff", "identity.platform-url", True),
    ],
)
def test_bad_credentials(tree: Tree, string: bytes, code: str, ends: bool) -> None:
    tree.smbios(string)
    with pytest.raises(DataError) as caught:
        smbios.read(tree.around(), plenty())
    assert caught.value.code == code
    assert isinstance(caught.value, AnchorError) == ends


def test_two_strings_that_disagree(tree: Tree) -> None:
    tree.smbios(TEXT + b"instance_uuid=" + UUID.encode())
    tree.smbios(TEXT + b"instance_uuid=" + OTHER.encode(), entry="11-10")
    with pytest.raises(AnchorError, match="11-0 string 1 and 11-10 string 1") as caught:
        smbios.read(tree.around(), plenty())
    assert caught.value.code == "identity.conflict"


@pytest.mark.parametrize(("count", "content"), [(65, GOOD), (1, b"\x0b\x05" + b"a" * 65536)])
def test_too_much(tree: Tree, count: int, content: bytes) -> None:
    for number in range(count):
        tree.put(f"sys/firmware/dmi/entries/11-{number}/raw", content)
    with pytest.raises(DataError) as caught:
        smbios.read(tree.around(), plenty())
    assert caught.value.code == ("identity.smbios" if count > 1 else "identity.too-large")


@given(st.binary(max_size=200), st.integers(0, 255))
def test_any_bytes_are_strings_or_a_refusal(body: bytes, length: int) -> None:
    try:
        found = smbios.strings(bytes([11, length]) + body)
    except DataError:
        return
    assert all(string and b"\0" not in string and string in body for string in found)


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda s: b"\0" not in s), max_size=20), st.binary())
def test_what_is_written_is_read_whatever_follows(strings: list[bytes], trailing: bytes) -> None:
    assert smbios.strings(oem_strings(*strings) + trailing) == strings
