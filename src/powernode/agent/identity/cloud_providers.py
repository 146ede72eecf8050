# SPDX-License-Identifier: MIT
"""How each cloud is asked for its user data. AWS is asked with a session token or not at all.

ask("aws", around, deadline)        # Material
"""

from __future__ import annotations

import binascii

from powernode.agent.identity import user_data
from powernode.agent.identity.cloud_http import Service, UnansweredError
from powernode.agent.identity.fields import refusal
from powernode.agent.identity.gather import Gathering
from powernode.agent.identity.model import KEYS, Material
from powernode.agent.identity.surroundings import Deadline, DeadlineError, Surroundings
from powernode.base.errors import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_AZURE = "/metadata/instance/compute/{}?api-version=2021-01-01&format=text"


def ask(provider: str, around: Surroundings, deadline: Deadline) -> Material:
    said = Gathering()
    try:
        remark = _PROVIDERS[provider](Service(around, deadline), said)
    except UnansweredError as error:
        remark = f"no metadata service: {error}"
    except TimeoutError:
        raise DeadlineError from None
    return said.material(f"{provider}: {remark}")


def _aws(service: Service, said: Gathering) -> str | None:
    reply = service.request("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    if reply.status == 403:
        return "the metadata service is switched off for this instance"
    if reply.status != 200:
        raise DataError(
            "identity.cloud.status", "the metadata service gives no session token", found=f"status {reply.status}"
        )
    token = reply.body.decode("ascii", "replace")
    if not 0 < len(token) <= 1024 or not all("!" <= character <= "~" for character in token):
        raise DataError("identity.cloud.token", "the session token cannot be used in a header")
    found = service.get("/latest/user-data", {"X-aws-ec2-metadata-token": token})
    return user_data.add(said, found.body, "user-data") if found else "no user data"


def _gcp(service: Service, said: Gathering) -> str | None:
    found = service.get("/computeMetadata/v1/instance/attributes/user-data", {"Metadata-Flavor": "Google"})
    if found is None:
        return "no attribute user-data"
    if found.headers.get("metadata-flavor") != "Google":
        raise DataError(
            "identity.cloud.flavor", "the answer is not Google's", expected="header Metadata-Flavor: Google"
        )
    return user_data.add(said, found.body, "attribute user-data")


def _azure(service: Service, said: Gathering) -> str | None:
    for name in ("userData", "customData"):
        found = service.get(_AZURE.format(name), {"Metadata": "true"})
        if found is None or not found.body.strip():
            continue
        try:
            data = binascii.a2b_base64(found.body.strip(), strict_mode=True)
        except ValueError:
            raise DataError("identity.user-data", f"{name} is not base64") from None
        return user_data.add(said, data, name)
    return "no userData and no customData"


def _openstack(service: Service, said: Gathering) -> str | None:
    document = service.get("/openstack/latest/meta_data.json", {})
    if document is None:
        found = service.get("/latest/user-data", {})  # relatives that speak only the EC2 dialect
        return user_data.add(said, found.body, "user-data") if found else "no user data"
    for name, meta in user_data.parse_json(document.body, "meta_data.json"):
        for key, value in meta if name == "meta" and isinstance(meta, user_data.Object) else ():
            if key.startswith("powernode."):
                _add_meta(said, key, value)
    found = service.get("/openstack/latest/user_data", {})
    return user_data.add(said, found.body, "user_data") if found else "no user data"


def _add_meta(said: Gathering, name: str, value: object) -> None:
    key = name.removeprefix("powernode.")
    if key not in KEYS:
        said.ignore(name)
    elif isinstance(value, str):
        said.add(key, value, f"meta_data.json meta {name}")
    else:
        raise refusal(key, f"meta_data.json meta {name} is no text")


_PROVIDERS: dict[str, Callable[[Service, Gathering], str | None]] = {
    "aws": _aws,
    "gcp": _gcp,
    "azure": _azure,
    "openstack": _openstack,
}
