# SPDX-License-Identifier: MIT
"""The `powernode-agent` command: one file per verb, imported only when its verb is called.

Exit status: 0 done, 2 the request was wrong, 3 bytes from elsewhere were refused, 4 this machine cannot, 10 `boot`
found nothing it may boot (or, with --dry-run, would not), 11 `boot` was told by powernode.boot=0 to leave the machine
alone.
"""

from __future__ import annotations

import sys

from powernode.base.errors import OperatorError, PowernodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING_TO_BOOT = 10
DISABLED = 11

VERBS = {
    "boot": "in the initramfs: find out who this is, choose a set, verify it, mount it at /sysroot",
    "introspect": "print everything known about this node and where it comes from",
    "sets": "show the boot sets on persist, or stage a new one",
    "confirm": "make the set that is running the last known good one",
}


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except PowernodeError as error:
        _tell(error, as_json="--json" in words)
        return error.exit_status
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:
        return 130


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print("usage: powernode-agent VERB [options]\n")
        print("\n".join(f"  {verb:12} {text}" for verb, text in VERBS.items()))
        print("\npowernode-agent VERB --help explains one verb.")
        return 0 if words else 2
    if words[0] in ("version", "--version"):
        from powernode import __version__, native

        print(f"powernode-agent {__version__}\nC library: {native.reason()}")
        return 0
    verb = words[0]
    if verb not in VERBS:
        raise OperatorError("cli.verb", f"`powernode-agent {verb}` does not exist", expected=", ".join(VERBS))
    name = f"powernode.cli.agent.{verb}"
    __import__(name)  # importlib would be another millisecond
    module = sys.modules[name]
    arguments = module.COMMAND.parse(words[1:])
    if arguments is None:
        print(module.COMMAND.help_text())
        return 0
    status: int = module.run(arguments)
    return status


def _tell(error: PowernodeError, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"error": error.as_dict()}), file=sys.stderr)
        return
    print(f"powernode-agent: {error.message}", file=sys.stderr)
    for label, text in (("expected", error.expected), ("found", error.found), ("try", error.hint)):
        if text is not None:
            print(f"  {label}: {text}", file=sys.stderr)
    print(f"  code: {error.code}", file=sys.stderr)
