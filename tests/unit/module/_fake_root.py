# SPDX-License-Identifier: MIT
"""Small packages, their lock, and a mmdebstrap that installs them in no time: the real one's arguments and result.

debs = Debs(tmp_path, hello={"/usr/bin/hello": b"#!/bin/sh\\n"})
monkeypatch.setenv("PATH", str(fake_mmdebstrap(tmp_path / "bin")))
bootstrap.make(Bootstrap(arch=debs.arch, packages=debs.packages), debs.deb, cache, report=print)
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from powernode.debian.lock import Lock, LockedPackage
from unit.archive._debs import Item, ar, gz, tar

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
BUILT_S = 1_600_000_000

_MMDEBSTRAP = """#!{python}
import io, os, sys, tarfile, time
from pathlib import Path
from urllib.parse import unquote
from powernode.archive import deb

with open(Path(__file__).with_name("calls"), "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
print("I: installing essential packages...", file=sys.stderr, flush=True)
{before}
names = next(word.split("=", 1)[1] for word in sys.argv if word.startswith("--include=")).split(",")
repository = Path(unquote(sys.argv[-1].split("copy:")[1].split()[0]))
root, files, status = Path(os.environ["TMPDIR"]) / "root", {{}}, ""
for name in sorted(names):
    place = root / name
    place.mkdir(parents=True)
    with open(repository / f"{{name}}.deb", "rb") as package:
        fields = deb.control(package)
        package.seek(0)
        deb.unpack(package, place)
    paths = sorted(place.rglob("*"))
    files |= {{str(path.relative_to(place)): path for path in paths}}
    listed = "".join(f"/{{path.relative_to(place)}}\\n" for path in paths)
    (root / f"{{name}}.list").write_text("/.\\n" + listed)
    files[f"var/lib/dpkg/info/{{name}}.list"] = root / f"{{name}}.list"
    status += f"Package: {{name}}\\nStatus: install ok installed\\nArchitecture: all\\n"
    status += f"Version: {{fields['Version']}}\\n\\n"
(root / "status").write_text(status)
files["var/lib/dpkg/status"] = root / "status"
with tarfile.open(sys.argv[-2], "w", format=tarfile.PAX_FORMAT) as archive:
    console = tarfile.TarInfo("./dev/console")
    console.type = tarfile.CHRTYPE
    archive.addfile(console)
    for name in sorted(files):
        info = archive.gettarinfo(files[name], "./" + name)
        info.uid = info.gid = 0
        info.mtime = int(os.environ["SOURCE_DATE_EPOCH"])
        archive.addfile(info, open(files[name], "rb") if info.isreg() else None)
print("I: success", file=sys.stderr)
"""


def fake_mmdebstrap(folder: Path, *, before: str = "") -> Path:
    """A folder for PATH; `calls` in it has a line for each run. `before` is what it does first."""
    folder.mkdir(parents=True)
    tool = folder / "mmdebstrap"
    tool.write_text(_MMDEBSTRAP.format(python=sys.executable, before=before))
    tool.chmod(0o755)
    return folder


def calls(folder: Path) -> int:
    path = folder / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


class Debs:
    """Packages by name, each with its files."""

    def __init__(self, folder: Path, packages: Mapping[str, Mapping[str, bytes]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.arch = ARCH
        self.packages = tuple(self._make(name, packages[name]) for name in sorted(packages))

    def _make(self, name: str, files: Mapping[str, bytes]) -> LockedPackage:
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nDescription: x\n".encode()
        data = tar(*(Item(f".{path}", content, mode=0o755) for path, content in sorted(files.items())))
        members = ("debian-binary", b"2.0\n"), ("control.tar.gz", gz(tar(Item("./control", control))))
        package = ar(*members, ("data.tar", data)).replace(f"{0:<12}".encode(), f"{BUILT_S:<12}".encode(), 1)
        self.deb(name).write_bytes(package)
        return LockedPackage(
            name=name,
            version="1.0",
            architecture="all",
            filename=f"pool/main/x/{name}_1.0_all.deb",
            size=len(package),
            sha256=sha256(package).hexdigest(),
        )

    def deb(self, name: str) -> Path:
        return self.folder / f"{name}.deb"

    def lock(self, *base: str, requests: tuple[str, ...]) -> Lock:
        """A module's lock: all packages, of which `base` are the base system's."""
        groups = {"base": tuple(each for each in self.packages if each.name in base), "module": self.packages}
        return Lock(arch=self.arch, suite="trixie", groups=groups, requests={"module": requests})
