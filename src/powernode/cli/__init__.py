# SPDX-License-Identifier: MIT
"""The `powernode` command: the only code that prints or exits.

One file per verb, found through the table below and imported only when its verb is called: a short command must not pay
for the long ones. Every verb module has a `COMMAND` (options and help as data) and `run(arguments) -> exit status`.
"""

from __future__ import annotations

import sys

from powernode.base.errors import PowernodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

GROUPS: dict[str, tuple[str, dict[str, str]]] = {
    "verity": (
        "fs-verity digests of files",
        {
            "digest": "compute the fs-verity digest of files",
            "enable": "make files immutable and verified by the kernel",
            "measure": "ask the kernel for the digest it enforces",
            "kernels": "show and race the hash kernels of this machine",
        },
    ),
    "composefs": (
        "verified file system images",
        {
            "create": "make an image from a directory or a dump",
            "ls": "list the files in an image",
            "dump": "print an image as dump text",
            "objects": "list the objects an image needs",
            "missing-objects": "list the objects a store lacks",
            "digest": "print the fs-verity digest of images",
            "merge": "merge modules' trees into one root",
            "explain": "say which module gives a path and who lost it",
            "mount": "mount an image over its objects",
            "fsck": "check an object store",
            "gc": "remove objects no image needs",
        },
    ),
    "keys": (
        "signing keys",
        {
            "new": "make a signing key",
            "show": "say what a key is",
            "ca": "make a certificate authority of your own",
        },
    ),
    "module": (
        "signed slices of a root file system",
        {
            "new": "make a module's folder, ready to build",
            "validate": "say everything that is wrong before the build",
            "schema": "print the JSON Schema of manifest.yaml",
            "lock": "pin the packages a module is built from",
            "build": "build a module: files, SBOM, provenance",
            "sign": "sign a module and what is said about it",
            "verify": "say who signed a module, or refuse it",
            "push": "send a module to a registry",
            "pull": "fetch a module from a registry, verified",
            "inspect": "say what is in a module",
            "diff": "say what differs between two modules",
        },
    ),
    "registry": (
        "a registry for modules",
        {
            "serve": "run an OCI registry on a folder",
        },
    ),
    "image": (
        "bootable images from pinned packages",
        {
            "build": "build boot images from pinned packages",
            "base": "build the base system from pinned packages",
            "plan": "print what a build would do, and its digest",
            "verify": "build again and name the first byte that differs",
            "boot": "start an image in QEMU and watch its console",
            "set": "sign a boot set for a node",
            "fetch": "download what the lock pins",
            "lock": "pin the packages to what the archive has now",
        },
    ),
}


_MORE = """\
powernode GROUP VERB --help explains one verb.
powernode --version says which library is in use.

exit status: 0 done; 2 it was asked for wrongly; 3 bytes from elsewhere are refused (damaged, not signed, too
many); 4 this machine cannot (no space, no network, no tool); 70 a defect of ours; 130 and 143 interrupted."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: whoever cleans up after Ctrl-C cleans up after it."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status; without words it is the process's own call, and SIGTERM ends that in order."""
    if argv is None:
        _heed_sigterm()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        status = _dispatch(words)
        if sys.stdout is not None:
            sys.stdout.flush()  # while a full disk or a closed pipe can still be told
        return status
    except PowernodeError as error:
        _report(error, words)
        return error.exit_status
    except BrokenPipeError:
        _forget_output()  # the reader has gone
        return 141
    except OSError as error:
        from powernode.base.errors import MachineError

        where = f"{_shown(error.filename)}: " if error.filename is not None else ""
        _report(MachineError("cli.system", f"{where}{error.strerror or error}"), words)
        _forget_output()
        return MachineError.exit_status
    except KeyboardInterrupt as interruption:
        print("powernode: interrupted", file=sys.stderr)
        return 143 if isinstance(interruption, Terminated) else 130


def _heed_sigterm() -> None:
    import signal

    def end(*_: object) -> None:
        raise Terminated

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)


def _forget_output() -> None:
    """What could not be written would be tried, and complained about, once more at exit; give it somewhere to go."""
    import os

    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _shown(name: object) -> str:
    """What an OSError is about: whatever was given to the call."""
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        return _version()
    group = _choose(words[0], GROUPS, "powernode")
    verbs = GROUPS[group][1]
    if len(words) == 1 or words[1] in ("-h", "--help", "help"):
        print(_group_help(group))
        return 0 if len(words) > 1 else 2
    verb = _choose(words[1], verbs, f"powernode {group}")
    name = f"powernode.cli.{group}.{verb.replace('-', '_')}"
    __import__(name)  # importlib would be another millisecond
    module = sys.modules[name]
    arguments = module.COMMAND.parse(words[2:])
    if arguments is None:
        print(module.COMMAND.help_text())
        return 0
    status: int = module.run(arguments)
    return status


def _choose(
    word: str, among: dict[str, object] | dict[str, str] | dict[str, tuple[str, dict[str, str]]], prefix: str
) -> str:
    if word in among:
        return word
    from difflib import get_close_matches

    from powernode.base.errors import OperatorError

    near = get_close_matches(word, among, 1)
    raise OperatorError(
        "cli.verb",
        f"`{prefix} {word}` does not exist",
        expected=", ".join(among),
        hint=f"did you mean `{prefix} {near[0]}`?" if near else f"see `{prefix} --help`",
    )


def _overview() -> str:
    lines = ["usage: powernode GROUP VERB [options]", ""]
    for group, (summary, verbs) in GROUPS.items():
        lines += [f"{group}: {summary}", *(f"  {group} {verb:16} {text}" for verb, text in verbs.items()), ""]
    return "\n".join([*lines, _MORE])


def _group_help(group: str) -> str:
    summary, verbs = GROUPS[group]
    listed = "\n".join(f"  {verb:16} {text}" for verb, text in verbs.items())
    usage = f"usage: powernode {group} VERB [options]"
    return f"{usage}\n\n{summary}\n\n{listed}\n\npowernode {group} VERB --help explains one verb."


def _version() -> int:
    from powernode import __version__, native

    print(f"powernode {__version__}\nC library: {native.reason()}")
    return 0


def _report(error: PowernodeError, words: list[str]) -> None:
    if "--json" in words:
        import json

        print(json.dumps({"error": error.as_dict()}), file=sys.stderr)
        return
    from powernode.base.text import clean  # a message may quote what a stranger wrote

    print(f"powernode: {clean(error.message, lines=True)}", file=sys.stderr)
    for label, text in (("expected", error.expected), ("found", error.found), ("try", error.hint)):
        if text is not None:
            print(f"  {label}: {clean(text, lines=True)}", file=sys.stderr)
    print(f"  code: {error.code}", file=sys.stderr)
