# SPDX-License-Identifier: MIT
from __future__ import annotations

import copy
import json
import pickle

import pytest

from powernode.agent.identity.secret import Secret


def test_only_reveal_gives_the_text() -> None:
    secret = Secret("s3cret")
    assert secret.reveal() == "s3cret"
    assert f"{secret} {secret!r} {secret!s} {[secret]}".count("redacted") == 4
    assert "s3cret" not in f"{secret} {secret!r} {[secret]}"


def test_a_secret_is_not_serialised() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps({"token": Secret("s3cret")})
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not serialised"):
            way(Secret("s3cret"))


def test_compares_by_text() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
