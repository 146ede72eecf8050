# SPDX-License-Identifier: MIT
"""What dpkg's own files say of a root: packages, sources, paths and licences; and the order of Debian's versions."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from license_expression import get_spdx_licensing  # type: ignore[import-untyped]

from powernode.base.errors import DataError
from powernode.composefs.tree import Directory, RegularFile, Symlink
from powernode.module import _deb822, _spdx, copyright, dpkg
from powernode.module._deb822 import paragraphs
from powernode.module._debversion import order
from powernode.module.copyright import Licence, Unstated
from powernode.module.dpkg import Installed, collect, installed

SPDX = get_spdx_licensing()  # an independent copy of the list
BASH = (
    "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nSource: bash (5.2.37-2)\nVersion: 5.2.37-2+b1\n"
)
LIBC = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.41-12\n"
LISTS = {"bash": b"/.\n/usr\n/usr/bin/bash\n", "libc6:amd64": b"/.\n/lib\n/lib/ld.so\n/lib64\n"}
DEP5 = b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: Us\n"


def packages(*stanzas: str, **more: bytes) -> tuple[Installed, ...]:
    return installed("\n".join(stanzas).encode(), LISTS, {}, **more)


def test_packages_and_their_sources() -> None:
    bash, libc = packages(LIBC, BASH)
    assert (bash.name, bash.version, bash.source, bash.source_version) == ("bash", "5.2.37-2+b1", "bash", "5.2.37-2")
    assert (libc.name, libc.version, libc.source, libc.source_version) == ("libc6", "2.41-12", "glibc", "2.41-12")


def test_one_name_for_two_architectures() -> None:
    lists = LISTS | {"libc6:i386": b"/.\n/lib/ld-linux.so.2\n"}
    found = installed(f"{LIBC}\n{LIBC.replace('amd64', 'i386')}".encode(), lists, {})
    assert [(each.architecture, b"/usr/lib/ld-linux.so.2" in each.files) for each in found] == [
        ("amd64", False),
        ("i386", True),
    ]


def test_paths_are_those_after_the_merge() -> None:
    (libc,) = packages(LIBC)
    assert libc.files == {b"/lib", b"/usr/lib/ld.so", b"/lib64"}


def test_what_is_diverted_is_elsewhere() -> None:
    bash, libc = packages(BASH, LIBC, diversions=b"/usr/bin/bash\n/usr/bin/bash.real\nlibc6\n/lib64\n/.lib64\nlibc6\n")
    assert b"/usr/bin/bash.real" in bash.files
    assert b"/usr/bin/bash" not in bash.files
    assert b"/lib64" in libc.files


def test_what_was_removed_is_not_there() -> None:
    removed = LIBC.replace("install ok installed", "deinstall ok config-files")
    assert [each.name for each in packages(BASH, removed)] == ["bash"]


@pytest.mark.parametrize(
    ("defect", "status", "code"),
    [
        ("half installed", BASH.replace("ok installed", "ok half-configured"), "state"),
        ("no status", BASH.replace("Status: install ok installed\n", ""), "state"),
        ("no version", BASH.replace("Version: 5.2.37-2+b1\n", ""), "value"),
        ("a name that leads elsewhere", BASH.replace("Package: bash", "Package: ../bash"), "value"),
        ("a source that is none", BASH.replace("bash (5.2.37-2)", "bash 5.2"), "value"),
        ("an unknown list", BASH.replace("Package: bash", "Package: zsh"), "list"),
        ("the same package twice", f"{BASH}\n{BASH}", "twice"),
    ],
)
def test_a_broken_status_is_refused(defect: str, status: str, code: str) -> None:
    with pytest.raises(DataError) as refused:
        packages(status)
    assert refused.value.code == f"module.dpkg.{code}", defect


@pytest.mark.parametrize(
    ("lists", "diversions", "code"),
    [({"bash": b"usr/bin/bash\n"}, b"", "path"), (LISTS, b"/usr/bin/bash\n/usr/bin/bash.real\n", "diversions")],
)
def test_broken_lists_are_refused(lists: dict[str, bytes], diversions: bytes, code: str) -> None:
    with pytest.raises(DataError) as refused:
        installed(BASH.encode(), lists, {}, diversions)
    assert refused.value.code == f"module.dpkg.{code}"


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpkg, "_MAX_PATHS", 2)
    with pytest.raises(DataError) as refused:
        packages(BASH)
    assert refused.value.code == "module.dpkg.size"
    monkeypatch.setattr(dpkg, "_MAX_STATUS_BYTES", 100)
    with pytest.raises(DataError) as refused:
        collect(small_root(), lambda node: node.content or b"")
    assert refused.value.code == "module.dpkg.size"
    monkeypatch.setattr(_deb822, "_MAX_PARAGRAPHS", 1)
    with pytest.raises(DataError) as refused:
        list(paragraphs(b"A: 1\n\nA: 2\n", what="it", max_bytes=100))
    assert refused.value.code == "module.deb822.paragraphs"


@pytest.mark.parametrize(
    ("defect", "text", "code"),
    [
        ("a line without a colon", b"Package bash\n", "line"),
        ("a continuation of nothing", b" and more\n", "line"),
        ("a name with a space", b"Pack age: bash\n", "line"),
        ("a field twice", b"Package: a\npackage: b\n", "twice"),
        ("too long", b"Package: " + b"a" * 2000, "size"),
    ],
)
def test_broken_paragraphs_are_refused(defect: str, text: bytes, code: str) -> None:
    with pytest.raises(DataError) as refused:
        list(paragraphs(text, what="it", max_bytes=1000))
    assert refused.value.code == f"module.deb822.{code}", defect


def test_paragraphs_keep_lines_and_drop_comments() -> None:
    text = b"# c\nA: 1\n# d\n .\n  two\n\n \n\nb:2\n"
    assert list(paragraphs(text, what="it", max_bytes=1000)) == [{"a": "1\n.\n two"}, {"b": "2"}]


def small_root() -> Directory:
    def folder(**entries: object) -> Directory:
        return Directory(entries={name.encode(): node for name, node in entries.items()})  # type: ignore[misc]

    def file(data: bytes) -> RegularFile:
        return RegularFile(size=len(data), content=data)

    info = Directory(entries={b"bash.list": file(LISTS["bash"]), b"libc6:amd64.list": file(LISTS["libc6:amd64"])})
    dpkg = folder(status=file(f"{BASH}\n{LIBC}".encode()), info=info, diversions=file(b""))
    doc = folder(bash=folder(copyright=file(DEP5 + b"License: GPL-3+\n")), libc6=Symlink(target=b"../doc/./bash"))
    return folder(var=folder(lib=folder(dpkg=dpkg)), usr=folder(share=folder(doc=doc)))


def test_a_root_is_searched_for_what_dpkg_left() -> None:
    database = collect(small_root(), lambda node: node.content or b"")
    assert database is not None
    found = installed(database.status, database.lists, database.copyrights, database.diversions)
    assert [(each.name, each.licence.expression) for each in found] == [
        ("bash", "GPL-3.0-or-later"),
        ("libc6", "GPL-3.0-or-later"),  # by way of the link
    ]


def test_a_root_without_dpkg_has_none() -> None:
    assert collect(Directory(), lambda node: b"") is None


def test_links_in_a_circle_lead_nowhere() -> None:
    loop = Directory(entries={b"var": Symlink(target=b"/other"), b"other": Symlink(target=b"var")})
    assert collect(loop, lambda node: b"") is None


@pytest.mark.parametrize(
    ("licence", "expression"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("GPL-2.0-only", "GPL-2.0-only"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("GPL-1+ or Artistic", "Artistic-1.0 OR GPL-1.0-or-later"),
        ("GPL-2+ and Expat or ISC", "(GPL-2.0-or-later AND MIT) OR ISC"),
        ("GPL-2+ or Expat, and ISC", "(GPL-2.0-or-later OR MIT) AND ISC"),
        ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
        ("GPL-2+ with OpenSSL exception", "LicenseRef-Debian-GPL-2-plus-with-OpenSSL-exception"),
        ("GPL", "LicenseRef-Debian-GPL"),
        ("GPL-4", "LicenseRef-Debian-GPL-4"),
        ("public-domain", "LicenseRef-Debian-public-domain"),
        ("Permission to use, copy, modify, and distribute this", "LicenseRef-Debian-unnamed"),
        ("", "LicenseRef-Debian-unnamed"),
        ("\u00e9\u00e8", "LicenseRef-Debian-unnamed"),
    ],
)
def test_names_of_licences(licence: str, expression: str) -> None:
    text = DEP5 + f"License: {licence}\n GPL-1\n".encode()
    assert copyright.read(text) == Licence(expression=expression)


def test_all_files_of_the_source_count_once() -> None:
    more = (
        b"License: Expat or GPL-2\n\nFiles: x\nLicense: GPL-2 or Expat\n\nFiles: y\nLicense: ISC\n\nLicense: X11\n x\n"
    )
    assert copyright.read(DEP5 + more).expression == "(GPL-2.0-only OR MIT) AND ISC"


def test_every_identifier_is_one_of_spdx() -> None:
    known = SPDX.known_symbols
    assert {*_spdx.NAMES.values(), *_spdx.EXCEPTIONS.values()} <= known.keys()
    gnu = [
        _spdx.spdx_name(f"{family}-{v}{plus}")
        for family, vs in _spdx._GNU_VERSIONS.items()
        for v in vs
        for plus in ("", "+")
    ]
    assert set(gnu) <= known.keys()


@settings(max_examples=50)
@given(st.text(max_size=60), st.sampled_from([" or ", " and ", ", and ", " with "]), st.text(max_size=20))
def test_any_line_gives_an_expression_that_others_read(first: str, joint: str, second: str) -> None:
    line = " ".join(f"{first}{joint}{second}".split())
    found = copyright.read(DEP5 + f"License: {line}\n".encode())
    if found.expression is not None:
        for key in SPDX.license_keys(SPDX.parse(found.expression)):
            assert key in SPDX.known_symbols or key.startswith("LicenseRef-Debian-")


@pytest.mark.parametrize(
    ("data", "unstated", "mentions"),
    [
        (None, Unstated.MISSING, ()),
        (b"", Unstated.FREE_TEXT, ()),
        (b"See /usr/share/common-licenses/GPL-2.\n", Unstated.FREE_TEXT, ("GPL-2",)),
        (b"Format: one page\n\nLicense: GPL-2\n", Unstated.FREE_TEXT, ()),
        (DEP5 + b"no field\n", Unstated.MALFORMED, ()),
        (DEP5, Unstated.MALFORMED, ()),
    ],
)
def test_nothing_is_guessed(data: bytes | None, unstated: Unstated, mentions: tuple[str, ...]) -> None:
    assert copyright.read(data) == Licence(unstated=unstated, mentions=mentions)


def dpkg_compares(first: str, relation: str, second: str) -> bool:
    command = ["dpkg", "--compare-versions", first, relation, second]
    result = subprocess.run(command, capture_output=True, check=False)
    assert result.returncode < 2, result.stderr
    return result.returncode == 0


def relation(first: str, second: str) -> str:
    return "lt" if order(first) < order(second) else "gt" if order(first) > order(second) else "eq"


PART = st.text("0129az.+~", max_size=5)
VERSIONS = st.builds(
    lambda epoch, start, rest, revision: f"{epoch}{start}{rest}{revision}",
    st.sampled_from(["", "", "0:", "1:"]),
    st.sampled_from("0129"),
    PART,
    PART.map(lambda text: f"-{text}" if text else ""),
)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not here")
@settings(max_examples=60)
@given(VERSIONS, VERSIONS)
def test_versions_compare_as_dpkg_compares_them(first: str, second: str) -> None:
    assert dpkg_compares(first, relation(first, second), second)


def test_versions_in_their_order() -> None:
    versions = [
        "1.0~rc1-1",
        "1.0~rc1-1+b1",
        "1.0",
        "1.0-1~deb13u1",
        "1.0-1",
        "1.0-1+b1",
        "1.0a",
        "1.0+dfsg",
        "1.10",
        "1:0",
    ]
    assert sorted(versions, key=order) == versions
    assert order("1.0-0") == order("1.0") == order("0:1.00-00")


@pytest.mark.parametrize("text", ["", "-1", "1-", "a b", "1:2:3 ", "99999999999:1", "\u0661"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(DataError) as refused:
        order(text)
    assert refused.value.code == "module.debversion"


@pytest.mark.skipif(not Path("/var/lib/dpkg/status").exists(), reason="this machine has no dpkg")
def test_this_machine(tmp_path: Path) -> None:
    info = Path("/var/lib/dpkg/info")
    lists = {path.name[:-5]: path.read_bytes() for path in info.glob("*.list")}
    copyrights = {path.parent.name: path.read_bytes() for path in Path("/usr/share/doc").glob("*/copyright")}
    found = installed(Path("/var/lib/dpkg/status").read_bytes(), lists, copyrights)
    command = ["dpkg-query", "-W", "-f=${binary:Package} ${Version} ${source:Package} ${source:Version}\\n"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    ours = {f"{each.name} {each.version} {each.source} {each.source_version}" for each in found}
    assert ours == {
        line.replace(f":{line.split()[0].partition(':')[2]} ", " ") if ":" in line.split()[0] else line for line in told
    }
