# SPDX-License-Identifier: MIT
"""The syntax of an SPDX licence expression (SPDX 2.3, annex D); whether a licence of that name exists is not asked.

check_license("Apache-2.0 OR (GPL-2.0-or-later WITH Classpath-exception-2.0)")
"""

from __future__ import annotations

import re

from powernode.base.errors import DataError

__all__ = ["check_license"]

_TOKEN = re.compile(r" *(?P<token>[()]|[^ ()]+) *")
_LICENSE = re.compile(
    r"(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+"
    r"|(?!LicenseRef-|DocumentRef-)[A-Za-z0-9][A-Za-z0-9.-]*\+?"
)
_EXCEPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_OPERATORS = ("AND", "OR", "WITH")


def check_license(text: str) -> None:
    """Refuse what is no expression."""
    depth = 0
    wants_license = True
    simple = False  # what came last is a licence, so WITH may follow
    tokens = [match["token"] for match in _TOKEN.finditer(text)]
    after = iter([*tokens[1:], ""])
    skip = False
    for token in tokens:
        following = next(after)
        if skip:
            skip = False
            continue
        if token.upper() in _OPERATORS and token not in _OPERATORS:
            raise _refusal(f"write {token.upper()} in capital letters", token)
        if wants_license:
            if token == "(":
                depth += 1
            elif token not in _OPERATORS and _LICENSE.fullmatch(token):
                wants_license, simple = False, True
            else:
                raise _refusal("a licence is missing", token)
        elif token == ")" and depth:
            depth -= 1
            simple = False
        elif token in ("AND", "OR"):
            wants_license = True
        elif token == "WITH" and simple and _EXCEPTION.fullmatch(following) and following not in _OPERATORS:
            simple, skip = False, True
        else:
            raise _refusal("AND or OR is missing, or a parenthesis is too many", token)
    if wants_license or depth:
        raise _refusal("it ends too early", text)


def _refusal(problem: str, found: str) -> DataError:
    return DataError(
        "license.syntax",
        f"this is no SPDX licence expression: {problem}",
        expected="such as MIT, BSD-3-Clause, GPL-2.0-only OR MIT, LicenseRef-Ours",
        found=repr(found[:100]),
        hint="identifiers are listed at spdx.org/licenses",
    )
