# SPDX-License-Identifier: MIT
"""The short names of Debian's copyright files as SPDX licence identifiers.

Invariants: what is not known to be the same licence becomes `LicenseRef-Debian-NAME`, never a near miss. Letter case
does not matter. Every identifier here is one of the SPDX list (a test asks an independent copy of it).

Some of Debian's names are SPDX's for something else, or for several things: `GPL` without a version, `BSD` without a
number of clauses, `Python`, `public-domain` stay references.

    spdx_name("GPL-2+")                          # 'GPL-2.0-or-later'
    spdx_name("GPL-2 with OpenSSL exception")    # 'LicenseRef-Debian-GPL-2-with-OpenSSL-exception'
"""

from __future__ import annotations

import re

__all__ = ["EXCEPTIONS", "NAMES", "spdx_name"]

_REFERENCE = "LicenseRef-Debian-"
_MAX_REFERENCE = 100

# Names that are the same in both lists but for letter case.
_SAME = """
    0BSD AFL-2.0 AFL-2.1 AFL-3.0 Apache-1.0 Apache-1.1 Apache-2.0 APSL-2.0 Artistic-1.0 Artistic-2.0 Beerware blessing
    BSD-1-Clause BSD-2-Clause BSD-2-Clause-Views BSD-3-Clause BSD-3-Clause-Clear BSD-3-Clause-LBNL BSD-4-Clause
    BSD-4-Clause-UC BSD-Source-Code BSL-1.0 bzip2-1.0.6 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-2.0 CC-BY-SA-2.5
    CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDDL-1.0 CDDL-1.1 CECILL-2.0 CECILL-2.1 CECILL-B CECILL-C CPL-1.0 curl EFL-1.0
    EFL-2.0 EPL-1.0 EPL-2.0 FSFAP FSFUL FSFULLR FTL HPND HPND-sell-variant ICU IJG ImageMagick Info-ZIP IPL-1.0 ISC
    JasPer-2.0 Latex2e Libpng libtiff LPPL-1.0 LPPL-1.1 LPPL-1.2 LPPL-1.3c MirOS MIT MIT-0 MIT-CMU MIT-feh MPL-1.0
    MPL-1.1 MPL-2.0 MS-PL NCSA NTP OFL-1.0 OFL-1.1 OLDAP-2.8 OpenSSL PHP-3.01 PostgreSQL PSF-2.0 QPL-1.0 Ruby
    SISSL Sleepycat TCL Unicode-3.0 Unicode-DFS-2015 Unicode-DFS-2016 Unicode-TOU Unlicense UPL-1.0 Vim W3C WTFPL X11
    Xnet xpp Zlib ZPL-1.1 ZPL-2.0 ZPL-2.1
"""
_OTHERS = {
    "Apache-2": "Apache-2.0",
    "Artistic": "Artistic-1.0",  # so the format's own table
    "Boost-1.0": "BSL-1.0",
    "BSD-2": "BSD-2-Clause",
    "BSD-3": "BSD-3-Clause",
    "BSD-4": "BSD-4-Clause",
    "CC0": "CC0-1.0",
    "Expat": "MIT",
    "OpenLDAP-2.8": "OLDAP-2.8",
    "Zope-1.1": "ZPL-1.1",
    "Zope-2.0": "ZPL-2.0",
    "Zope-2.1": "ZPL-2.1",
}
NAMES = {name.lower(): name for name in _SAME.split()} | {name.lower(): spdx for name, spdx in _OTHERS.items()}

EXCEPTIONS = {
    "classpath": "Classpath-exception-2.0",
    "font": "Font-exception-2.0",
    "libtool": "Libtool-exception",
    "linux-syscall-note": "Linux-syscall-note",
    "llvm": "LLVM-exception",
}
"""Only those whose name says which text it is: there are several for Autoconf, Bison and OpenSSL."""

_GNU = re.compile(r"(A?GPL|LGPL|GFDL(?:-NIV)?)-?v?([1-3])(?:\.([0-3]))?(?:\.0)?(\+|-only|-or-later)?", re.IGNORECASE)
_GNU_VERSIONS = {
    "AGPL": ("1.0", "3.0"),
    "GPL": ("1.0", "2.0", "3.0"),
    "LGPL": ("2.0", "2.1", "3.0"),
    "GFDL": ("1.1", "1.2", "1.3"),
    "GFDL-NIV": ("1.1", "1.2", "1.3"),
}
_WITH = re.compile(r"(\S+) with (\S+)(?: exception)?", re.IGNORECASE)


def spdx_name(name: str) -> str:
    """An SPDX identifier, one WITH an exception, or a reference."""
    match = _WITH.fullmatch(name)
    if match is not None:
        licence, exception = _known(match[1]), EXCEPTIONS.get(match[2].lower().removesuffix("-exception"))
        return f"{licence} WITH {exception}" if licence and exception else _reference(name)
    return _known(name) or _reference(name)


def _known(name: str) -> str | None:
    match = _GNU.fullmatch(name)
    if match is None:
        return NAMES.get(name.lower())
    family, version = match[1].upper(), f"{match[2]}.{match[3] or 0}"
    if version not in _GNU_VERSIONS[family]:
        return None
    suffix = "or-later" if match[4] in ("+", "-or-later") else "only"
    if family == "GFDL-NIV":
        return f"GFDL-{version}-no-invariants-{suffix}"
    return f"{family}-{version}-{suffix}"


def _reference(name: str) -> str:
    """A name that SPDX has no licence for, in the letters that SPDX allows."""
    letters = re.sub(r"[^A-Za-z0-9.]+", "-", name.replace("+", "-plus")).strip("-")
    return _REFERENCE + (letters[:_MAX_REFERENCE] or "unnamed")
