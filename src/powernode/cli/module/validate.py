# SPDX-License-Identifier: MIT
"""powernode module validate"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from powernode.module.known import Known
    from powernode.module.lock import Request
    from powernode.module.validate import Report

COMMAND = Command(
    "module validate",
    "[DIR]",
    "Says everything that is wrong with a module's source before it is built: each error with its line and column, and "
    "what to write instead. Packages are looked for in the module's lock, or in the archive's signed index. Exit "
    "status 0 without errors (warnings are allowed), 3 with errors.",
    options=(
        Option("--with", "DIR", "a module it will be together with, source or built; may be repeated", repeat=True),
        Option("--offline", None, "ask no archive; without a lock, packages are not checked"),
        Option("--archive", "URL", "a Debian archive or snapshot (default: that of this machine's apt sources)"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode module validate my-redis --with ../security-hardening",
    most=1,
)
ERRORS = 3


def run(arguments: Arguments) -> int:
    from pathlib import Path

    from powernode.module.validate import validate

    folder = Path(arguments.operands[0] if arguments.operands else ".")
    report = validate(
        folder,
        ask=lambda request: _known(folder, request, arguments),
        others=[Path(other) for other in getattr(arguments, "with")],
    )
    if arguments.json:
        import json

        findings = [finding.as_dict() for finding in report.findings]
        counts = {"errors": report.errors, "warnings": report.warnings}
        print(json.dumps({**counts, "findings": findings, "unchecked": list(report.unchecked)}))
    else:
        _print(folder, report)
    return ERRORS if report.errors else 0


def _print(folder: Path, report: Report) -> None:
    from powernode.cli.output import write_line

    for finding in report.findings:
        write_line(str(finding))
    for text in report.unchecked:
        write_line(f"not checked: {text}")
    write_line(f"{folder}: {_count(report.errors, 'error')}, {_count(report.warnings, 'warning')}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _known(folder: Path, request: Request, arguments: Arguments) -> Known | str:
    """From a lock of any architecture (each has to be of this manifest), else from the archive."""
    import os

    from powernode.base.errors import MachineError, OperatorError
    from powernode.cli.image.options import host_arch
    from powernode.debian.apt import PrivateApt
    from powernode.debian.inputs import default_cache
    from powernode.debian.lock import ARCHITECTURES
    from powernode.module import known, lock

    cache = default_cache(os.environ)
    locks = [found for arch in ARCHITECTURES if (found := lock.read(folder, request, arch)) is not None]
    if locks:
        return known.of_lock(locks[0], lock.path_of(folder, locks[0].arch), cache=cache)
    if arguments.offline:
        return "there is no packages.lock, and --offline was given"
    try:
        private = PrivateApt(request.suite, host_arch(), cache / "apt", arguments.archive, components=lock.COMPONENTS)
        private.update()
        return known.of_archive(private, f"{request.suite}, {' '.join(lock.COMPONENTS)}")
    except (MachineError, OperatorError) as error:
        if isinstance(error, OperatorError) and error.code != "debian.apt.archive":
            raise
        return f"there is no packages.lock, and the archive's index could not be had: {error.message}"
