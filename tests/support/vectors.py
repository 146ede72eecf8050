# SPDX-License-Identifier: MIT
"""Public test data for whoever believes signatures, from packages of Debian's development release.

It is other projects' and not kept here: each package is downloaded once, checked by the archive's signature, and what
is needed of it stays in the cache. Test processes that run side by side wait for the one that gets it.

    python3 tests/support/vectors.py      gets everything and says where it is
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from powernode.archive import deb
from support.debian import CACHE, PrivateApt, UnavailableError, kept

SUITE = "sid"
_SOURCES = "usr/share/gocode/src/github.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What is kept of a package: files of one folder of it, with the folders they are in."""

    name: str
    package: str
    inside: str
    patterns: tuple[str, ...]


WYCHEPROOF = Collection(
    name="wycheproof",
    package="golang-github-c2sp-wycheproof-dev",
    inside=f"{_SOURCES}/c2sp/wycheproof/testvectors_v1",
    patterns=("ecdsa_*_test.json", "ed*_test.json", "rsa_pss_*_test.json", "rsa_signature_*_test.json"),
)
"""Signatures that are right and signatures that look right."""

SIGSTORE_GO = Collection(
    name="sigstore-go",
    package="golang-github-sigstore-sigstore-go-dev",
    inside=f"{_SOURCES}/sigstore/sigstore-go/pkg/testing/data",
    patterns=("bundles/*.json", "public-keys/*.pem", "trusted-roots/*.json"),
)
"""Bundles that sigstore's public instance and others made, and their trust roots."""

COSIGN = Collection(
    name="cosign",
    package="golang-github-sigstore-cosign-v3-dev",
    inside=f"{_SOURCES}/sigstore/cosign/v3/pkg/cosign/testdata",
    patterns=("*.json",),
)
"""A bundle that cosign made with the public instance, and the trust root for it."""

EVERYTHING = (WYCHEPROOF, SIGSTORE_GO, COSIGN)


def ensure(collection: Collection) -> Path:
    """The folder with the collection's files."""
    return kept(CACHE / "vectors" / collection.name, lambda folder: _select(collection, folder))


def _select(collection: Collection, folder: Path) -> None:
    apt = PrivateApt(SUITE)
    apt.update()
    with tempfile.TemporaryDirectory(prefix="powernode-") as downloaded, tempfile.TemporaryDirectory() as unpacked:
        (package,) = apt.download([collection.package], Path(downloaded))
        with package.open("rb") as file:
            deb.unpack(file, Path(unpacked))
        inside = Path(unpacked) / collection.inside
        for pattern in collection.patterns:
            found = [path for path in inside.glob(pattern) if path.is_file() and not path.is_symlink()]
            assert found, f"{collection.package} has no {pattern} in {collection.inside} any more"
            for path in found:
                place = folder / path.relative_to(inside)
                place.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, place)


if __name__ == "__main__":
    try:
        print(*(ensure(collection) for collection in EVERYTHING), sep="\n")
    except UnavailableError as error:
        sys.exit(f"the test data cannot be had here: {error}")
