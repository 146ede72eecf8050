# SPDX-License-Identifier: MIT
"""A boot set: which root a node is to run, made of which modules, for whom and until when.

Invariants: `parse(encode(s)) == s` and `encode(parse(b)) == b`: one set, one spelling; `modules` are in order of
effective priority, lowest first, and no name is there twice; names are safe as names of files.

Out of scope: the signature around it (`trust.bootset`), the files it stands for.

    boot_set = parse(payload)
    boot_set.root_digest.hex, boot_set.root_policy, [module.name for module in boot_set.modules]
"""

from __future__ import annotations

from enum import Enum

from powernode.base import canonical
from powernode.base.digest import Digest
from powernode.base.errors import DataError
from powernode.base.fields import Fields
from powernode.base.values import Value

__all__ = ["ANY_INSTANCE", "MAX_BYTES", "PAYLOAD_TYPE", "BootSet", "ModuleRef", "RootPolicy", "encode", "parse"]

PAYLOAD_TYPE = "application/vnd.powernode.set.v1+json"
ANY_INSTANCE = "*"
MAX_BYTES = 256 << 10
MAX_MODULES = 512
MAX_NAME = 128
MAX_VERSION = 128

_KIND = "powernode.set"
_VERSION = 1
_CODE = "wire.set"
_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_NAME_REST = _NAME_START | frozenset("+.-")
_VERSION_CHARACTERS = _NAME_REST | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ~:_")
_LOWER_HEX = frozenset("0123456789abcdef")


class RootPolicy(Enum):
    """What becomes of changes to the root: refused, lost at the next start, or kept."""

    RO = "ro"
    EPHEMERAL = "ephemeral"
    PERSISTENT = "persistent"


class ModuleRef(Value):
    """One module of a set; `digest` is that of the module's own image."""

    __slots__ = ("digest", "name", "version")

    def __init__(self, *, name: str, version: str, digest: Digest) -> None:
        self.name = name
        self.version = version
        self.digest = digest


class BootSet(Value):
    """`instance` is ANY_INSTANCE or one UUID; `not_after` is in seconds since 1970, None for no end."""

    __slots__ = ("instance", "modules", "not_after", "root_digest", "root_policy", "serial")

    def __init__(
        self,
        *,
        serial: int,
        instance: str,
        not_after: int | None,
        root_digest: Digest,
        root_policy: RootPolicy,
        modules: tuple[ModuleRef, ...],
    ) -> None:
        self.serial = serial
        self.instance = instance
        self.not_after = not_after
        self.root_digest = root_digest
        self.root_policy = root_policy
        self.modules = modules


def encode(boot_set: BootSet) -> bytes:
    """The set's one spelling; a set that `parse` would refuse is refused here, before it is signed."""
    payload = _spell(boot_set)
    if parse(payload) != boot_set:
        raise DataError(f"{_CODE}.value", "this boot set cannot be written down", found=repr(boot_set)[:400])
    return payload


def parse(payload: bytes) -> BootSet:
    """The set that `payload` spells."""
    what = "the boot set"
    with Fields(canonical.decode(payload, what=what, max_bytes=MAX_BYTES), code=_CODE, what=what) as fields:
        _check_format(fields)
        with fields.fields("root") as root:
            digest, policy = _digest(root), _policy(root)
        boot_set = BootSet(
            serial=fields.integer("serial", least=0),
            instance=_instance(fields),
            not_after=None if fields.null("not_after") else fields.integer("not_after", least=0),
            root_digest=digest,
            root_policy=policy,
            modules=_modules(fields),
        )
    if _spell(boot_set) != payload:
        raise DataError(
            f"{_CODE}.not-canonical",
            "the boot set says the same in other bytes than ours would",
            expected="sorted keys, no white space, ASCII",
        )
    return boot_set


def is_module_name(name: str) -> bool:
    """Whether `name` is [a-z0-9][a-z0-9+.-]*, not too long: safe as a file's name."""
    return 0 < len(name) <= MAX_NAME and name[0] in _NAME_START and _NAME_REST.issuperset(name)


def _spell(boot_set: BootSet) -> bytes:
    return canonical.encode(
        {
            "kind": _KIND,
            "version": _VERSION,
            "serial": boot_set.serial,
            "instance": boot_set.instance,
            "not_after": boot_set.not_after,
            "root": {"digest": boot_set.root_digest.hex, "policy": boot_set.root_policy.value},
            "modules": [
                {"name": module.name, "version": module.version, "digest": module.digest.hex}
                for module in boot_set.modules
            ],
        }
    )


def _check_format(fields: Fields) -> None:
    kind = fields.text("kind", longest=100)
    if kind != _KIND:
        raise fields.refusal("kind", "this is no boot set", expected=_KIND, found=repr(kind))
    version = fields.integer("version", least=0)
    if version != _VERSION:
        raise fields.refusal("version", "a boot set of another version", expected=str(_VERSION), found=str(version))


def _digest(fields: Fields) -> Digest:
    digits = fields.text("digest", longest=200)
    if len(digits) != 64 or not _LOWER_HEX.issuperset(digits):
        raise fields.refusal("digest", f"digest of {fields.what}", expected="64 hexadecimal digits", found=repr(digits))
    return Digest("sha256", bytes.fromhex(digits))


def _policy(fields: Fields) -> RootPolicy:
    word = fields.text("policy", longest=100)
    for policy in RootPolicy:
        if policy.value == word:
            return policy
    expected = ", ".join(policy.value for policy in RootPolicy)
    raise fields.refusal("policy", f"policy of {fields.what}", expected=expected, found=repr(word))


def _instance(fields: Fields) -> str:
    instance = fields.text("instance", longest=100)
    parts = instance.split("-")
    is_uuid = [len(part) for part in parts] == [8, 4, 4, 4, 12] and _LOWER_HEX.issuperset("".join(parts))
    if instance != ANY_INSTANCE and not is_uuid:
        expected = f"a lower-case UUID, or {ANY_INSTANCE} for all"
        raise fields.refusal("instance", f"instance of {fields.what}", expected=expected, found=repr(instance))
    return instance


def _modules(fields: Fields) -> tuple[ModuleRef, ...]:
    found: dict[str, ModuleRef] = {}
    for module in fields.each("modules", most=MAX_MODULES):
        name = module.text("name", longest=200)
        if not is_module_name(name):
            raise module.refusal("name", f"name of {module.what}", expected="[a-z0-9][a-z0-9+.-]*", found=repr(name))
        if name in found:
            raise module.refusal("duplicate-module", f"{module.what}: {name} is there already")
        version = module.text("version", longest=MAX_VERSION)
        if not version or not _VERSION_CHARACTERS.issuperset(version):
            at = f"version of {module.what}"
            raise module.refusal("module-version", at, expected="letters, digits and +.-~:_", found=repr(version))
        found[name] = ModuleRef(name=name, version=version, digest=_digest(module))
    return tuple(found.values())
