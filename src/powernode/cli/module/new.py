# SPDX-License-Identifier: MIT
"""powernode module new"""

from __future__ import annotations

from powernode.cli.options import Arguments, Command, Option, one_of

_TEMPLATES = ("package", "service", "config", "kernel")

COMMAND = Command(
    "module new",
    "NAME",
    "Makes a module's folder: manifest.yaml, Containerfile, rootfs/, workflows for Gitea and GitHub, a README. It can "
    "be validated and built as it is. Nothing that is there is overwritten.",
    options=(
        Option(
            "--template",
            "NAME",
            "package (default): files of Debian packages; service: a program of your own; config: files only; "
            "kernel: kernel modules and firmware",
            one_of(*_TEMPLATES),
            default="package",
        ),
        Option("--dir", "DIR", "where to make it (default: NAME)"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode module new my-redis --template service --dir my-redis-module",
    least=1,
    most=1,
)


def run(arguments: Arguments) -> int:
    from pathlib import Path

    from powernode import __version__
    from powernode.cli.output import write_line
    from powernode.module.template import render, write

    name = arguments.operands[0]
    folder = Path(arguments.dir or name)
    content = render(name, arguments.template, powernode=__version__)
    write(folder, content)
    if arguments.json:
        import json

        print(json.dumps({"directory": str(folder), "template": arguments.template, "files": list(content)}))
        return 0
    for place in content:
        write_line(str(folder / place))
    write_line(f"next: powernode module validate {folder}")
    return 0
