# SPDX-License-Identifier: MIT
"""How the verbs about modules reach a registry: through a proxy, if the environment says so."""

from __future__ import annotations

import pytest

from powernode.base.errors import DataError, OperatorError
from powernode.cli.module.registry import _proxy
from powernode.net.http import Url

PROXY = "http://proxy.example.com:3128/"


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://r.example.com/", {}, None),
        ("https://r.example.com/", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://r.example.com/", {"https_proxy": "proxy.example.com:3128"}, PROXY),
        ("https://r.example.com/", {"https_proxy": "", "HTTPS_PROXY": ""}, None),
        ("http://r.example.com/", {"HTTPS_PROXY": PROXY}, None),
        ("https://r.example.com/", {"HTTP_PROXY": PROXY}, None),
        ("https://r.example.com/", {"HTTPS_PROXY": PROXY, "NO_PROXY": "other.com"}, PROXY),
        ("https://r.example.com/", {"HTTPS_PROXY": PROXY, "NO_PROXY": "ample.com"}, PROXY),
        ("https://r.example.com/", {"HTTPS_PROXY": PROXY, "NO_PROXY": "x, example.com"}, None),
        ("https://r.example.com/", {"HTTPS_PROXY": PROXY, "no_proxy": ".Example.com"}, None),
        ("https://r.example.com/", {"HTTPS_PROXY": PROXY, "no_proxy": "*.example.com"}, None),
        ("https://r.example.com:5000/", {"HTTPS_PROXY": PROXY, "no_proxy": "r.example.com"}, None),
        ("https://r.example.com/", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, None),
        ("https://r.example.com/", {"HTTPS_PROXY": PROXY, "NO_PROXY": " , "}, PROXY),
    ],
)
def test_the_proxy(url: str, environment: dict[str, str], proxy: str | None) -> None:
    found = _proxy(Url.parse(url), environment)
    assert (None if found is None else str(found)) == proxy


@pytest.mark.parametrize(
    "proxy", ["http://user:secret@proxy.example.com/", "https://proxy.example.com/", "socks5://x/"]
)
def test_a_proxy_that_we_cannot_use(proxy: str) -> None:
    """What it says is not repeated: there may be a password in it."""
    with pytest.raises((DataError, OperatorError)) as caught:
        _proxy(Url.parse("https://r.example.com/"), {"HTTPS_PROXY": proxy})
    assert caught.value.code == "cli.registry.proxy"
    assert "secret" not in str(caught.value)
