# SPDX-License-Identifier: MIT
"""What importing cannot show about the standard library: what it imports later, and what it can do without.

Each line has its reason. A missing line shows as a ModuleNotFoundError on the node, so tests/unit/image and the VM
tests call what is listed here.
"""

from __future__ import annotations

__all__ = ["ABSENT", "AMENDMENTS", "LATER"]

LATER: dict[str, tuple[str, ...]] = {
    # module in the closure: what it imports inside functions, or from C, when our code uses it
    "encodings": (
        "encodings.ascii",  # the codec machinery imports codecs by name
        "encodings.latin_1",
        "encodings.utf_8_sig",  # what people write in Notepad: identity.cfg, user data of a cloud
        "runpy",  # python3.13 -m
        "linecache",  # the interpreter itself, to print an uncaught exception
        "traceback",
    ),
    "socket": ("encodings.idna",),  # getaddrinfo encodes every host name with it
    "datetime": ("_strptime",),  # datetime.strptime
    "ssl": ("_strptime",),  # cert_time_to_seconds
    "argparse": ("shutil", "textwrap"),  # help and errors
    "os": ("os",),  # frozen in the interpreter, but its file is the mark by which the interpreter finds its library
}

ABSENT = (
    # Compressors for archives that shutil could unpack: it copes without, and their libraries stay at home.
    "_bz2",
    "_lzma",
    "bz2",
    "lzma",
)

AMENDMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    # dataclasses imports inspect, and with it six modules, to put a signature into the documentation of a class that
    # has none, and to read annotations it could read itself: a quarter of the agent's imports by time. If a new
    # version's text does not match, the file is used as it is.
    "dataclasses.py": (
        ("import inspect\n", ""),
        ("inspect.get_annotations(cls)", "cls.__dict__.get('__annotations__') or {}"),
        ("str(inspect.signature(cls))", "''"),
    ),
}
