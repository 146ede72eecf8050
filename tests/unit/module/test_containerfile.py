# SPDX-License-Identifier: MIT
"""The other stage 1, with a podman and a buildah that only pretend: what they are told, and what becomes of it."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import pytest

from powernode.base.errors import MachineError, OperatorError
from powernode.manifest.model import ModuleManifest, from_document
from powernode.module import containerfile
from powernode.module.bootstrap import Root
from powernode.module.containerfile import Containerfile

_TOOL = """#!{python}
import shutil, sys
from pathlib import Path

here = Path(__file__).parent
with open(here / "calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
verb = sys.argv[1]
if verb == "build":
    if (here / "broken").exists():
        sys.exit("no such base image")
    print("[1/2] STEP 2/3: RUN apt-get install")
    Path(sys.argv[sys.argv.index("--iidfile") + 1]).write_text("sha256:1234")
elif verb in ("create", "from"):
    print("pulling")
    Path(sys.argv[sys.argv.index("--cidfile") + 1]).write_text("container-1\\n")
elif verb == "export":
    shutil.copy(here / "image.tar", sys.argv[sys.argv.index("--output") + 1])
elif verb == "mount":
    print(here / "mounted")
"""


def manifest(**more: object) -> ModuleManifest:
    document = {"schema_version": 1, "name": "m", "package_spec": ["nginx", "curl"], "file_spec": ["/**"], **more}
    return from_document(document)  # type: ignore[arg-type]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "module/rootfs").mkdir(parents=True)
    (tmp_path / "module/Containerfile").write_text("FROM scratch\n")
    return tmp_path / "module"


def tool(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    (folder / name).write_text(_TOOL.format(python=sys.executable))
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def image(path: Path, *files: tuple[str, bytes, int], top: str = "") -> None:
    with tarfile.open(path, "w") as archive:
        for name, data, mtime in files:
            info = tarfile.TarInfo(top + name)
            info.size, info.mtime = len(data), mtime
            archive.addfile(info, io.BytesIO(data))


DPKG = (
    (
        "var/lib/dpkg/status",
        b"Package: nginx\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n",
        9999,
    ),
    ("var/lib/dpkg/info/nginx.list", b"/.\n/usr/bin/nginx\n/etc/nginx.conf\n", 9999),
    ("usr/bin/nginx", b"nginx", 1000),
    ("etc/nginx.conf", b"", 2000),
    ("etc/passwd", b"made by a script", 9999),
)


def make(module: Path, tmp_path: Path, said: list[str] | None = None, **more: object) -> Root:
    (tmp_path / "work").mkdir()
    stage = Containerfile.of(module, manifest(**more), arch="arm64", options=())
    told: list[str] = [] if said is None else said
    return containerfile.make(stage, module, tmp_path / "work", tmp_path / "log", report=told.append)


def test_podman_is_told_what_the_manifest_says(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tool(tmp_path / "bin", "podman", monkeypatch)
    image(folder / "image.tar", *DPKG)
    said: list[str] = []
    root = make(
        module, tmp_path, said, build={"ubuntu_digest": "sha256:" + "ab" * 32, "apt_snapshot": "20260415T000000Z"}
    )
    assert (root.top, root.latest_s) == (b"", 2000)
    build, *others = (folder / "calls").read_text().splitlines()
    assert build.startswith(
        f"build --file {module}/Containerfile --platform linux/arm64 --build-arg=PACKAGES=nginx curl "
    )
    assert "--build-arg=UBUNTU_DIGEST=sha256:abab" in build
    assert "--build-arg=APT_SNAPSHOT=20260415T000000Z" in build
    assert [line.split()[0] for line in others] == ["create", "export", "rm"]
    assert others[-1] == "rm container-1"
    assert "pulling" in (tmp_path / "log").read_text()
    assert said == ["podman build", "[1/2] STEP 2/3: RUN apt-get install", "podman export"]


def test_work_is_the_root_where_there_is_one(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tool(tmp_path / "bin", "podman", monkeypatch)
    image(folder / "image.tar", *DPKG, top="work/")
    root = make(module, tmp_path)
    assert (root.top, root.latest_s) == (b"/work", 2000)


def test_what_only_resembles_work_is_not_it(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tool(tmp_path / "bin", "podman", monkeypatch)
    image(folder / "image.tar", (".work/x", b"", 1), ("work", b"a file", 1), ("worker/x", b"", 1), *DPKG)
    assert make(module, tmp_path).top == b""


def test_without_packages_there_is_no_time(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tool(tmp_path / "bin", "podman", monkeypatch)
    image(folder / "image.tar", ("etc/motd", b"hello", 5000))
    assert make(module, tmp_path).latest_s == 0


def test_buildah_does_it_too(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tool(tmp_path / "bin", "buildah", monkeypatch)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (folder / "mounted/etc").mkdir(parents=True)
    (folder / "mounted/etc/motd").write_text("hello")
    root = make(module, tmp_path)
    with tarfile.open(root.archive) as archive:
        assert "./etc/motd" in archive.getnames()
    verbs = [line.split()[0] for line in (folder / "calls").read_text().splitlines()]
    assert verbs == ["build", "from", "mount", "umount", "rm"]


def test_a_failed_build_says_why(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tool(tmp_path / "bin", "podman", monkeypatch)
    (folder / "broken").touch()
    with pytest.raises(MachineError) as caught:
        make(module, tmp_path)
    assert (caught.value.code, caught.value.found) == ("module.containerfile.failed", "no such base image")
    assert caught.value.hint == f"all it said is in {tmp_path}/log"
    assert (tmp_path / "log").read_text().startswith("$ podman build --file ")


def test_no_tool(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError) as caught:
        make(module, tmp_path)
    assert caught.value.code == "module.containerfile.tool"


def test_no_containerfile(module: Path) -> None:
    (module / "Containerfile").unlink()
    with pytest.raises(OperatorError) as caught:
        Containerfile.of(module, manifest(), arch="amd64", options=())
    assert caught.value.code == "module.containerfile.missing"


def test_no_file_spec(module: Path) -> None:
    nothing = from_document({"schema_version": 1, "name": "m"})
    with pytest.raises(OperatorError) as caught:
        Containerfile.of(module, nothing, arch="amd64", options=())
    assert caught.value.code == "module.containerfile.file-spec"


def test_what_it_is_made_of(module: Path) -> None:
    one = Containerfile.of(module, manifest(), arch="amd64", options=())
    (module / "rootfs/new").write_text("")
    assert Containerfile.of(module, manifest(), arch="amd64", options=()).as_dict() != one.as_dict()
    assert one.as_dict()["arguments"] == {"PACKAGES": "nginx curl"}
