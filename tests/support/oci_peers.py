# SPDX-License-Identifier: MIT
"""The container tools of Debian (cosign, oras, skopeo, podman, umoci, buildah) and its registry, in a root.

mmdebstrap makes the root once, in half a minute, and the cache keeps it; where it cannot, UnavailableError says why.
Every run sees that root unchanged: what a tool writes outside its work folder is gone when it ends, and so are its
mounts and its children. The work folder has the same path inside as outside, and is the current one. The network is
the machine's, so 127.0.0.1 is 127.0.0.1; nothing of the environment gets in, no proxy either.

    tools = peers()
    with registry(tools, tmp_path / "storage") as address:                      # "127.0.0.1:40123", plain HTTP
        name = f"{address}/a/b:v1"
        tools.run("skopeo", "copy", "--dest-tls-verify=false", "oci:layout:v1", f"docker://{name}", work=tmp_path)
        tools.run("cosign", "tree", name, work=tmp_path).text
        tools.run("podman", "pull", "--tls-verify=false", name, work=tmp_path)
        tools.run("sh", "-euc", "podman image mount …; cp -a …", work=tmp_path)  # mounts live as long as one run
        tools.run("oras", "pull", "nowhere/x:y", work=tmp_path, check=False).code         # else it is an AssertionError

In tests/interop the fixtures `oci_peers` (the tools) and `docker_registry` (one for the test file) give these and skip
with the reason. podman and buildah keep their images in `containers` below the work folder: one folder, one storage.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from powernode.base.errors import PowernodeError
from powernode.debian import apt
from support.debian import CACHE, PrivateApt, UnavailableError

__all__ = ["LOGIN", "Peers", "Result", "peers", "registry"]

SUITE = "trixie"
PACKAGES = ("cosign", "oras", "skopeo", "podman", "buildah", "docker-registry", "crun", "zstd")
NEWER = {"sid": ("umoci",)}
"""Trixie's umoci cannot read zstd layers; the next one can, and is content with trixie's libraries."""
LOGIN = ("builder", "let-me-in")
"""The only one who may use a registry that wants a password."""

_PASSWORDS = "builder:$2b$05$KmuGnFu0re9luJ74aW3ME.rUswAwMowxy6nerSgZVpKtXZxDJZo4C\n"
_SECONDS = 60.0
_SECONDS_TO_START = 15.0
_SECONDS_TO_BOOTSTRAP = 600.0
_UNUSED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")

# The root is the lower layer of an overlay that goes with the mount namespace; the processes go with the PID namespace.
_NAMESPACES = ("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child")
_ENTER = """
root=$1 work=$2; shift 2
mount -t tmpfs tmpfs "$root/mnt"; cd "$root/mnt"; mkdir upper scratch root
mount -t overlay -o "lowerdir=$root,upperdir=upper,workdir=scratch" overlay root
mkdir -p "root$work"; mount --bind "$work" "root$work"
mount -t proc proc root/proc; mount --rbind /sys root/sys; mount --rbind /dev root/dev
sed "s|WORK|$work|" root/etc/containers/storage.conf.in >root/etc/containers/storage.conf
exec chroot root env -i --chdir="$work" "$@"
"""

_STORAGE = '[storage]\ndriver = "overlay"\ngraphroot = "WORK/containers"\nrunroot = "/run/containers"\n'
_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'
_REGISTRY = """version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: WORK}, delete: {enabled: true}, maintenance: {uploadpurging: {enabled: false}}}
http: {addr: "127.0.0.1:0"}
"""
_AUTHENTICATION = "auth: {htpasswd: {realm: tests, path: WORK/passwords}}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    root: Path

    def command(self, *words: str, work: Path, env: Mapping[str, str] | None = None) -> list[str]:
        """What to start for these words to run inside, with `work` as their folder."""
        given = {"PATH": "/usr/sbin:/usr/bin", "HOME": "/root", "LANG": "C.UTF-8", "TMPDIR": "/tmp", **(env or {})}
        variables = [f"{name}={value}" for name, value in given.items()]
        return [
            *_NAMESPACES,
            "sh",
            "-euc",
            _ENTER,
            "sh",
            str(self.root.absolute()),
            str(work.absolute()),
            *variables,
            *words,
        ]

    def run(
        self,
        *words: str,
        work: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        seconds: float = _SECONDS,
        check: bool = True,
    ) -> Result:
        command = self.command(*words, work=work, env=env)
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{' '.join(words)} took more than {seconds} s") from error
        result = Result(code=done.returncode, stdout=done.stdout, stderr=done.stderr.decode(errors="replace"))
        if check and result.code:
            said = f"{result.stderr[-2000:]}{result.stdout[-1000:].decode(errors='replace')}"
            raise AssertionError(f"{' '.join(words)} ended with {result.code}:\n{said}")
        return result


def peers() -> Peers:
    """The tools, got first if they are not there."""
    if os.geteuid():
        raise UnavailableError("changing the root to run container tools needs root")
    path = CACHE / "peers/oci-amd64"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _bootstrap(path)
    return Peers(root=path)


@contextmanager
def registry(tools: Peers, storage: Path, *, login: bool = False) -> Iterator[str]:
    """docker-registry 2.8 on a free port: its `host:port`, as long as the block lasts.

    It speaks plain HTTP, has no referrers API and allows deletion; its log, with every request, is `<storage>/log`.
    With `login` it answers LOGIN only, by basic authentication. `storage` may be one that was used before.
    """
    storage.mkdir(parents=True, exist_ok=True)
    settings = _REGISTRY + (_AUTHENTICATION if login else "")
    (storage / "config.yml").write_text(settings.replace("WORK", str(storage.absolute())))
    (storage / "passwords").write_text(_PASSWORDS)
    command = tools.command("docker-registry", "serve", "config.yml", work=storage)
    with (storage / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield _listening(process, storage / "log")
    finally:
        process.kill()
        process.wait(timeout=_SECONDS)


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address the registry chose: it says so when connections are taken."""
    end = time.monotonic() + _SECONDS_TO_START
    while process.poll() is None and time.monotonic() < end:
        if found := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"docker-registry did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _bootstrap(path: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise UnavailableError("mmdebstrap is not here to make a root with container tools")
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        command = [
            *("mmdebstrap", "--quiet", "--variant=essential", "--mode=root", "--architectures=amd64"),
            f"--include={','.join(PACKAGES)}",
            '--aptopt=Acquire::Check-Valid-Until "false"',
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--dpkgopt=path-exclude={unused}" for unused in _UNUSED),
            *(SUITE, str(part), apt.machine_archive()),
        ]
        subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_BOOTSTRAP, check=True)
        for suite, packages in NEWER.items():
            newer = PrivateApt(suite)
            newer.update()
            newer.unpack(packages, part)
        settings = part / "etc/containers"
        settings.mkdir(exist_ok=True)
        (settings / "policy.json").write_text(_POLICY)
        (settings / "storage.conf.in").write_text(_STORAGE)
        part.rename(path)
    except PowernodeError as error:
        raise UnavailableError(str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"mmdebstrap took more than {_SECONDS_TO_BOOTSTRAP} s") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"mmdebstrap cannot make a root with container tools: {error.stderr[-300:]}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
