# SPDX-License-Identifier: MIT
"""The documents of the OCI image specification: descriptor, image manifest, index, read strictly and within bounds.

Invariants: a digest, size or media type that is not well-formed is refused; so is a document that could be read as
both a manifest and an index. `encode` gives canonical JSON, so equal documents have one digest. Members that the
specification does not name are overlooked, as it asks of readers; keep the bytes if the digest must stay.

Out of scope: what layers and configurations hold; Docker's older schema 1.

    manifest = Manifest.parse(data)                     # DataError("oci.document.…")
    manifest.config.digest, [layer.size for layer in manifest.layers], manifest.subject
    Index(manifests=(descriptor,), annotations={"…": "…"}).encode()
"""

from __future__ import annotations

from powernode.base import canonical
from powernode.base.errors import DataError
from powernode.base.fields import Fields
from powernode.base.values import Value
from powernode.oci.digests import check_digest, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from powernode.base.canonical import Json

__all__ = [
    "DOCKER_LIST",
    "DOCKER_MANIFEST",
    "EMPTY",
    "EMPTY_CONFIG",
    "IMAGE_CONFIG",
    "IMAGE_INDEX",
    "IMAGE_MANIFEST",
    "INDEX_TYPES",
    "LAYER_ZSTD",
    "MANIFEST_TYPES",
    "MAX_DOCUMENT_BYTES",
    "REF_NAME",
    "Descriptor",
    "Index",
    "Manifest",
    "Platform",
    "describe",
    "parse_document",
]

IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = frozenset((IMAGE_MANIFEST, DOCKER_MANIFEST))
INDEX_TYPES = frozenset((IMAGE_INDEX, DOCKER_LIST))

REF_NAME = "org.opencontainers.image.ref.name"
EMPTY = b"{}"
"""The content of an empty configuration."""

MAX_DOCUMENT_BYTES = 4 << 20
"""What the distribution specification asks every registry to take."""

_CODE = "oci.document"
_MAX_LAYERS = 4096
_MAX_MANIFESTS = 16384
_MAX_ANNOTATIONS = 1024
_MAX_TYPE = 255
_MAX_VALUES = 1 << 18
"""Nearly empty lists and objects need thirty times their size in memory; real documents have far fewer values."""

_TYPE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&-^_.+")


class Platform(Value):
    """What a manifest in an index is for."""

    __slots__ = ("architecture", "os", "variant")

    def __init__(self, *, architecture: str, os: str = "linux", variant: str | None = None) -> None:
        self.architecture = architecture
        self.os = os
        self.variant = variant


class Descriptor(Value):
    """Some content by its type, digest and size in bytes."""

    __slots__ = ("annotations", "artifact_type", "digest", "media_type", "platform", "size")

    def __init__(
        self,
        *,
        media_type: str,
        digest: str,
        size: int,
        annotations: Mapping[str, str] | None = None,
        artifact_type: str | None = None,
        platform: Platform | None = None,
    ) -> None:
        self.media_type = media_type
        self.digest = digest
        self.size = size
        self.annotations = dict(annotations or {})
        self.artifact_type = artifact_type
        self.platform = platform

    @classmethod
    def parse(cls, data: bytes) -> Descriptor:
        what = "the descriptor"
        return _descriptor(canonical.decode(data, what=what, max_bytes=MAX_DOCUMENT_BYTES), what)

    def with_annotations(self, annotations: Mapping[str, str]) -> Descriptor:
        """The same content, annotated so and not otherwise."""
        return Descriptor(
            media_type=self.media_type,
            digest=self.digest,
            size=self.size,
            annotations=annotations,
            artifact_type=self.artifact_type,
            platform=self.platform,
        )

    def to_json(self) -> dict[str, Json]:
        document: dict[str, Json] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.artifact_type is not None:
            document["artifactType"] = self.artifact_type
        if self.platform is not None:
            platform: dict[str, Json] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant is not None:
                platform["variant"] = self.platform.variant
            document["platform"] = platform
        return document

    def __hash__(self) -> int:
        return hash((self.media_type, self.digest, self.size))


class Manifest(Value):
    """An image manifest: a configuration, layers, and perhaps the `subject` that it is about."""

    __slots__ = ("annotations", "artifact_type", "config", "layers", "media_type", "subject")

    def __init__(
        self,
        *,
        config: Descriptor,
        layers: tuple[Descriptor, ...],
        media_type: str = IMAGE_MANIFEST,
        artifact_type: str | None = None,
        subject: Descriptor | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        self.config = config
        self.layers = layers
        self.media_type = media_type
        self.artifact_type = artifact_type
        self.subject = subject
        self.annotations = dict(annotations or {})

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        document = parse_document(data)
        if not isinstance(document, Manifest):
            raise DataError(f"{_CODE}.kind", "an index is where a manifest should be")
        return document

    @property
    def kind(self) -> str:
        """Its `artifactType` as referrers are listed by it: its own, else the type of its configuration."""
        return self.artifact_type or self.config.media_type

    def encode(self) -> bytes:
        document = _head(self.media_type, self.artifact_type, self.subject, self.annotations)
        document["config"] = self.config.to_json()
        document["layers"] = [layer.to_json() for layer in self.layers]
        return canonical.encode(document)

    def __hash__(self) -> int:
        return hash((self.config, self.layers))


class Index(Value):
    """A list of manifests: one per architecture, or whatever a layout or a registry has to list."""

    __slots__ = ("annotations", "artifact_type", "manifests", "media_type", "subject")

    def __init__(
        self,
        *,
        manifests: tuple[Descriptor, ...],
        media_type: str = IMAGE_INDEX,
        artifact_type: str | None = None,
        subject: Descriptor | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        self.manifests = manifests
        self.media_type = media_type
        self.artifact_type = artifact_type
        self.subject = subject
        self.annotations = dict(annotations or {})

    @classmethod
    def parse(cls, data: bytes) -> Index:
        document = parse_document(data)
        if not isinstance(document, Index):
            raise DataError(f"{_CODE}.kind", "a manifest is where an index should be")
        return document

    @property
    def kind(self) -> str:
        return self.artifact_type or ""

    def encode(self) -> bytes:
        document = _head(self.media_type, self.artifact_type, self.subject, self.annotations)
        document["manifests"] = [manifest.to_json() for manifest in self.manifests]
        return canonical.encode(document)

    def __hash__(self) -> int:
        return hash(self.manifests)


def describe(
    data: bytes,
    media_type: str,
    *,
    annotations: Mapping[str, str] | None = None,
    artifact_type: str | None = None,
    platform: Platform | None = None,
) -> Descriptor:
    """The descriptor of these bytes."""
    return Descriptor(
        media_type=media_type,
        digest=digest_of(data),
        size=len(data),
        annotations=annotations,
        artifact_type=artifact_type,
        platform=platform,
    )


def parse_document(data: bytes, *, media_type: str | None = None) -> Manifest | Index:
    """The manifest or index; `media_type` is what the bytes were said to be, and they must say the same."""
    what = "the manifest"
    value = canonical.decode(data, what=what, max_bytes=MAX_DOCUMENT_BYTES, max_values=_MAX_VALUES)
    fields = Fields(value, code=_CODE, what=what)
    version = fields.integer("schemaVersion", least=0)
    if version != 2:
        raise DataError(
            f"{_CODE}.schema", "a manifest of another schema", expected="schemaVersion 2", found=f"{version}"
        )
    if fields.has("manifests") == (fields.has("layers") or fields.has("config")):
        # Either could be what a signature was meant for.
        raise DataError(f"{_CODE}.kind", "neither a manifest nor an index, or both", expected="layers, or manifests")
    known = INDEX_TYPES if fields.has("manifests") else MANIFEST_TYPES
    own = fields.text("mediaType", longest=_MAX_TYPE) if fields.has("mediaType") else None
    stated = own or media_type or (IMAGE_INDEX if known is INDEX_TYPES else IMAGE_MANIFEST)
    if stated not in known or (media_type is not None and stated != media_type):
        raise DataError(
            f"{_CODE}.media-type",
            "the content is not of the type it is said to have",
            expected=media_type or " or ".join(sorted(known)),
            found=stated[:_MAX_TYPE],
        )
    members = value if isinstance(value, dict) else {}
    artifact_type = _optional_type(fields, "artifactType")
    subject = None if members.get("subject") is None else _descriptor(members["subject"], "subject")
    annotations = _annotations(members, what)
    if known is INDEX_TYPES:
        return Index(
            manifests=_descriptors(fields, "manifests", most=_MAX_MANIFESTS),
            media_type=stated,
            artifact_type=artifact_type,
            subject=subject,
            annotations=annotations,
        )
    return Manifest(
        config=_descriptor(members.get("config"), "config"),
        layers=_descriptors(fields, "layers", most=_MAX_LAYERS),
        media_type=stated,
        artifact_type=artifact_type,
        subject=subject,
        annotations=annotations,
    )


def _head(
    media_type: str, artifact_type: str | None, subject: Descriptor | None, annotations: Mapping[str, str]
) -> dict[str, Json]:
    document: dict[str, Json] = {"schemaVersion": 2, "mediaType": media_type}
    if artifact_type is not None:
        document["artifactType"] = artifact_type
    if subject is not None:
        document["subject"] = subject.to_json()
    if annotations:
        document["annotations"] = dict(annotations)
    return document


def _descriptors(fields: Fields, name: str, *, most: int) -> tuple[Descriptor, ...]:
    items = fields.items(name, most=most)
    return tuple(_descriptor(item, f"{name}[{number}]") for number, item in enumerate(items))


def _descriptor(value: Json, what: str) -> Descriptor:
    fields = Fields(value, code=_CODE, what=what)
    members = value if isinstance(value, dict) else {}
    return Descriptor(
        media_type=_type(fields, "mediaType"),
        digest=check_digest(fields.text("digest", longest=200), what=what, code=f"{_CODE}.digest"),
        size=fields.integer("size", least=0),
        annotations=_annotations(members, what),
        artifact_type=_optional_type(fields, "artifactType"),
        platform=None if members.get("platform") is None else _platform(members["platform"], what),
    )


def _platform(value: Json, what: str) -> Platform:
    fields = Fields(value, code=_CODE, what=f"platform of {what}")
    return Platform(
        architecture=fields.text("architecture", longest=64),
        os=fields.text("os", longest=64),
        variant=fields.text("variant", longest=64) if fields.has("variant") else None,
    )


def _annotations(members: dict[str, Json], what: str) -> dict[str, str]:
    value = members.get("annotations")
    if value is None:
        return {}
    fields = Fields(value, code=_CODE, what=f"annotations of {what}")
    names = list(value) if isinstance(value, dict) else []
    if len(names) > _MAX_ANNOTATIONS:
        raise fields.refusal("value", fields.what, expected=f"at most {_MAX_ANNOTATIONS}", found=f"{len(names)}")
    return {name: fields.text(name, longest=MAX_DOCUMENT_BYTES) for name in names}


def _optional_type(fields: Fields, name: str) -> str | None:
    """An empty `artifactType`, which some tools write, is none."""
    return (_type(fields, name, empty=True) or None) if fields.has(name) else None


def _type(fields: Fields, name: str, *, empty: bool = False) -> str:
    text = fields.text(name, longest=_MAX_TYPE)
    top, slash, sub = text.partition("/")
    if not (empty and not text) and not (top and slash and sub and _TYPE_CHARACTERS.issuperset(top + sub)):
        raise fields.refusal("media-type", f"{name} of {fields.what}", expected="type/subtype", found=repr(text[:100]))
    return text
