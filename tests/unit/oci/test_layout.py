# SPDX-License-Identifier: MIT
"""The layout on disk: what is put comes back, and what somebody else put there is not believed."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from powernode.base.durable import write_durably
from powernode.base.errors import PowernodeError
from powernode.oci.documents import EMPTY, EMPTY_CONFIG, IMAGE_MANIFEST, REF_NAME, Descriptor, Manifest, describe
from powernode.oci.layout import Layout

DATA = b"x" * 3_000_000
DESCRIPTOR = describe(DATA, "application/x")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "oci")


def blob(layout: Layout, descriptor: Descriptor = DESCRIPTOR) -> Path:
    return Path(layout.path, "blobs", descriptor.digest.replace(":", "/"))


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(PowernodeError) as caught:
        action()
    return caught.value.code


def manifest(layout: Layout, text: str, subject: Descriptor | None = None) -> Descriptor:
    config = layout.put(EMPTY, EMPTY_CONFIG)
    value = Manifest(config=config, layers=(), artifact_type="a/b", subject=subject, annotations={"text": text})
    return layout.put(value.encode(), IMAGE_MANIFEST)


@pytest.mark.parametrize("content", [DATA, io.BytesIO(DATA)], ids=["bytes", "file"])
def test_put_and_read(layout: Layout, content: bytes | io.BytesIO) -> None:
    descriptor = layout.put(content, "application/x", annotations={"a": "b"})
    assert descriptor == DESCRIPTOR.with_annotations({"a": "b"})
    assert layout.has(descriptor)
    assert layout.read(descriptor, max_bytes=len(DATA)) == DATA
    assert blob(layout).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in blob(layout).parent.iterdir()] == [blob(layout).name]
    with layout.open_verified(descriptor) as file:
        file.seek(5)
        assert file.read() == DATA[5:]


def test_streams(layout: Layout) -> None:
    with layout.blobs.writer() as writer:
        assert writer.write(b"ab") + writer.write(b"c") == 3
        digest, size = writer.commit()
    assert digest == describe(b"abc", "a/b").digest
    with layout.open(Descriptor(media_type="a/b", digest=digest, size=size)) as reader:
        assert [reader.read(2), reader.read(2), reader.read(2)] == [b"ab", b"c", b""]


def test_nothing_is_left_of_what_was_not_committed(layout: Layout) -> None:
    with layout.blobs.writer() as writer:
        writer.write(b"abc")
    assert list(blob(layout).parent.iterdir()) == []


def test_names(layout: Layout) -> None:
    one, two = manifest(layout, "1"), manifest(layout, "2")
    layout.add(one)
    layout.add(one)
    layout.add(one, name="v1")
    assert [entry.annotations for entry in layout.entries()] == [{REF_NAME: "v1"}]
    layout.add(one)
    layout.add(two, name="v2")
    layout.add(two, name="v1")
    assert layout.resolve("v1").digest == layout.resolve("v2").digest == two.digest
    assert refusal(lambda: layout.resolve(one.digest)) == "oci.layout.no-such-name"
    assert refusal(lambda: layout.resolve("v3")) == "oci.layout.no-such-name"
    assert layout.resolve(two.digest).digest == two.digest
    assert Layout.create(layout.path).entries() == layout.entries()


def test_referrers(layout: Layout) -> None:
    subject = manifest(layout, "subject")
    about = manifest(layout, "about", subject)
    other = manifest(layout, "other", about)
    for descriptor in (subject, about, other):
        layout.add(descriptor)
    (found,) = layout.referrers(subject.digest)
    assert (found.digest, found.artifact_type, found.annotations) == (about.digest, "a/b", {"text": "about"})
    assert [each.digest for each in layout.referrers(about.digest)] == [other.digest]
    assert layout.referrers(other.digest) == ()


def test_writers_of_the_index_wait_for_each_other(layout: Layout) -> None:
    descriptors = [manifest(layout, str(number)) for number in range(20)]
    threads = [threading.Thread(target=layout.add, args=(each, f"v{n}")) for n, each in enumerate(descriptors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(layout.entries()) == 20


def test_makers_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is about to write its empty index, another makes the layout and lists something in it."""

    def other() -> None:
        made = Layout.create(tmp_path)
        made.add(manifest(made, "1"), "v1")

    def interrupted(path: str, data: bytes, *, mode: int) -> None:
        monkeypatch.setattr("powernode.oci.layout.write_durably", write_durably)
        thread.start()
        thread.join(0.2)
        write_durably(path, data, mode=mode)

    thread = threading.Thread(target=other)
    monkeypatch.setattr("powernode.oci.layout.write_durably", interrupted)
    layout = Layout.create(tmp_path)
    thread.join()
    assert len(layout.entries()) == 1


def test_what_is_no_layout(tmp_path: Path) -> None:
    assert refusal(lambda: Layout(tmp_path)) == "oci.layout.none"
    assert refusal(lambda: Layout(tmp_path / "nothing")) == "oci.layout.none"
    (tmp_path / "file").touch()
    assert refusal(lambda: Layout.create(tmp_path)) == "oci.layout.not-empty"
    assert os.listdir(tmp_path) == ["file"]


def test_a_power_cut_while_it_was_made(tmp_path: Path) -> None:
    Layout.create(tmp_path)
    (tmp_path / "oci-layout").unlink()
    assert Layout.create(tmp_path).entries() == ()


def _swap(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _grow(path: Path) -> None:
    path.write_bytes(DATA + b"x")


def _change(path: Path) -> None:
    path.write_bytes(DATA[:-1] + b"y")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "the blob is a link": (_swap, "oci.blob.not-a-file"),
    "the blobs of the algorithm are a link": (lambda path: _swap(path.parent), "oci.blob.not-a-file"),
    "all blobs are a link": (lambda path: _swap(path.parent.parent), "oci.blob.not-a-file"),
    "the blob is a pipe": (_pipe, "oci.blob.not-a-file"),
    "the blob is a folder": (_folder, "oci.blob.not-a-file"),
    "one byte more": (_grow, "oci.blob.size"),
    "nothing in it": (lambda path: os.truncate(path, 0), "oci.blob.size"),
    "another byte": (_change, "oci.blob.digest"),
    "gone": (Path.unlink, "oci.blob.missing"),
}


@pytest.mark.parametrize("defect", HOSTILE)
def test_hostile_blobs(layout: Layout, defect: str) -> None:
    damage, code = HOSTILE[defect]
    layout.put(DATA, "application/x")
    damage(blob(layout))
    assert refusal(lambda: layout.read(DESCRIPTOR, max_bytes=len(DATA))) == code
    assert refusal(lambda: layout.open_verified(DESCRIPTOR)) == code


def test_too_large_is_refused_before_it_is_read(layout: Layout) -> None:
    layout.put(DATA, "application/x")
    assert refusal(lambda: layout.read(DESCRIPTOR, max_bytes=len(DATA) - 1)) == "oci.blob.too-large"


def test_a_digest_is_no_path(layout: Layout) -> None:
    wrong = Descriptor(media_type="a/b", digest="sha256:../../oci-layout", size=30)
    assert refusal(lambda: layout.read(wrong, max_bytes=100)) == "oci.digest"


def test_a_blob_that_grows_while_it_is_read(layout: Layout) -> None:
    layout.put(DATA, "application/x")
    with layout.open(DESCRIPTOR) as reader:
        first = reader.read(10)
        with blob(layout).open("ab") as file:
            file.write(b"more")
        assert first + reader.read() == DATA
        assert reader.read() == b""


def test_what_is_listed_must_be_there(layout: Layout) -> None:
    assert refusal(lambda: layout.add(DESCRIPTOR)) == "oci.blob.missing"
    assert layout.entries() == ()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}', "oci.layout.version"),
        ("oci-layout", b"{}", "oci.layout.missing"),
        ("oci-layout", b" " * 5000, "oci.layout.too-large"),
        ("index.json", b"{}", "oci.document.missing"),
        ("index.json", b"\xff", "json.utf8"),
        ("index.json", b" " * ((4 << 20) + 1), "oci.layout.too-large"),
    ],
)
def test_hostile_documents(layout: Layout, name: str, content: bytes, code: str) -> None:
    Path(layout.path, name).write_bytes(content)
    assert refusal(lambda: Layout(layout.path).entries()) == code


@pytest.mark.parametrize("name", ["oci-layout", "index.json"])
def test_documents_that_are_links(layout: Layout, name: str) -> None:
    _swap(Path(layout.path, name))
    assert refusal(lambda: Layout(layout.path).entries()) == "oci.blob.not-a-file"


def test_one_name_for_two_things(layout: Layout) -> None:
    one, two = manifest(layout, "1"), manifest(layout, "2")
    layout.add(one, name="v1")
    index = json.loads(Path(layout.path, "index.json").read_text())
    index["manifests"].append(two.with_annotations({REF_NAME: "v1"}).to_json())
    Path(layout.path, "index.json").write_text(json.dumps(index))
    assert refusal(lambda: layout.resolve("v1")) == "oci.layout.ambiguous"
