# SPDX-License-Identifier: MIT
"""What validate says of globs: those that contradict each other, do nothing, or take what is not the module's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from powernode.manifest import overlap
from powernode.module.validate import validate
from unit.module._sources import HEAD, knowing, look, nothing, source, told


class TestGlobs:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("file_spec: [/etc/a, /etc/b/**]\nmask: [/etc/b/]\n", [(3, 21, "module.glob.masked")]),
            ("file_spec: [/etc/a]\nmask: ['/etc/*']\n", [(3, 13, "module.glob.masked")]),
            (
                "file_spec: [/etc/**]\nmask: [/etc/a]\nprotected_spec: [/etc/a]\n",
                [(5, 18, "module.glob.protected-masked")],
            ),
            ("mask: [/etc/]\nprotected_spec: ['/etc/*.conf']\n", [(4, 18, "module.glob.protected-masked")]),
            ("file_spec: [/etc/a/**]\nprotected_spec: [/etc/b]\n", [(4, 18, "module.glob.protected-unowned")]),
            ("file_spec: [/etc/a, /etc/a]\n", [(3, 21, "module.glob.duplicate")]),
            ("file_spec: [/etc/**]\nmask: [/usr/x]\n", [(4, 8, "module.glob.idle-mask")]),
        ],
    )
    def test_conflicts(self, tmp_path: Path, text: str, expected: list[tuple[int, int, str]]) -> None:
        manifest = HEAD + text + "package_spec: [xx]\n"
        report = look(tmp_path, manifest)
        assert told(report) == expected
        assert bool(report.warnings) == (expected[0][2] in ("module.glob.duplicate", "module.glob.idle-mask"))

    @pytest.mark.parametrize(
        "text",
        [
            "file_spec: [/etc/**]\nmask: [/etc/a]\nprotected_spec: [/etc/b, /etc/]\n",
            "file_spec: ['/etc/*.conf']\nprotected_spec: [/etc/redis**]\n",
            "file_spec: [/etc/redis/**]\nprotected_spec: [/etc/redis]\n",
            "file_spec: [/etc/**.conf]\nmask: [/etc/redis]\n",
            "mask: [/usr/share/doc/]\nprotected_spec: [/usr/share/]\n",
        ],
    )
    def test_what_is_no_conflict(self, tmp_path: Path, text: str) -> None:
        assert told(look(tmp_path, HEAD + text + "package_spec: [xx]\n")) == []

    def test_unused_against_rootfs_alone(self, tmp_path: Path) -> None:
        text = "file_spec: ['/etc/*.conf', /usr/bin/x]\nmask: [/etc/b.conf]\nprotected_spec: [/etc/]\n"
        report = look(tmp_path, HEAD + text, ["etc/a.conf"])
        assert told(report) == [(3, 28, "module.glob.unused"), (4, 8, "module.glob.unused")]
        assert report.errors == 0

    def test_unused_against_packages_too(self, tmp_path: Path) -> None:
        text = "package_spec: [xx]\nfile_spec: [/usr/bin/x, /usr/bin/y, /usr/share/]\n"
        files = {b"/usr/share": True, b"/usr/bin/x": False}
        assert told(look(tmp_path, HEAD + text, known=knowing("xx", files=files))) == [(4, 25, "module.glob.unused")]

    def test_what_scripts_make_is_not_missed(self, tmp_path: Path) -> None:
        text = "package_spec: [xx]\nfile_spec: [/etc/systemd/system/multi-user.target.wants/x.service, /var/lib/x/]\n"
        assert told(look(tmp_path, HEAD + text, known=knowing("xx", files={}))) == []

    def test_packages_whose_files_are_not_known_excuse_every_glob(self, tmp_path: Path) -> None:
        assert told(look(tmp_path, HEAD + "package_spec: [xx]\nfile_spec: [/usr/bin/y]\n", known=knowing("xx"))) == []

    def test_files_of_rootfs_that_do_not_ship(self, tmp_path: Path) -> None:
        text = "package_spec: [xx]\nfile_spec: [/etc/a]\nmask: [/etc/b/]\n"
        report = look(tmp_path, HEAD + text, ["etc/a", "etc/b/c", "etc/d", ".gitkeep"])
        assert told(report) == [
            (4, 12, "module.rootfs.unshipped"),
            (5, 7, "module.rootfs.masked"),
            (5, 8, "module.glob.idle-mask"),
        ]
        assert report.findings[0].problem.found == "/etc/b/c, /etc/d"

    def test_homes(self, tmp_path: Path) -> None:
        assert told(look(tmp_path, HEAD + "file_spec: [/home/me/**]\n")) == [(3, 13, "manifest.home")]
        assert told(look(tmp_path, HEAD + "file_spec: [/**]\n", ["home/me/x"])) == [(3, 12, "manifest.home")]
        assert told(look(tmp_path, HEAD, ["home/me/x"])) == [(1, 1, "manifest.home")]

    def test_what_is_said_of_homes_is_no_error_to_do(self, tmp_path: Path) -> None:
        hints = {
            look(tmp_path / "a", HEAD + "file_spec: [/etc/**]\n", ["etc/a", "home/me/x"]).findings[0].problem.hint,
            "nothing below /home ships: " + str(look(tmp_path / "b", HEAD, ["home/me/x"]).findings[0].problem.hint),
            "nothing below /home ships: "
            + str(look(tmp_path / "c", HEAD + "file_spec: [/home/me/**]\n").findings[0].problem.hint),
        }
        assert hints == {"nothing below /home ships: ship it below /etc/skel, or declare the user in `users`"}

    def test_braces(self, tmp_path: Path) -> None:
        text = "file_spec: ['/etc/{a,b}', '/etc/\\{c,d}', '/etc/{e}']\n"
        report = look(tmp_path, HEAD + text, ["etc/{a,b}", "etc/{c,d}", "etc/{e}"])
        assert told(report) == [(3, 13, "module.glob.braces")]

    def test_more_globs_than_are_compared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(overlap.Effort.__init__, "__defaults__", (2_000,))
        lists = (f'"/*/*a*b*{number}"' for number in range(100)), (f'"/*/*c*d*{number}"' for number in range(100))
        text = "mask: [{}]\nprotected_spec: [{}]\n".format(*map(", ".join, lists))
        assert told(look(tmp_path, HEAD + text)) == [(1, 1, "module.glob.uncompared")]

    def test_the_files_of_options_count(self, tmp_path: Path) -> None:
        text = "file_spec: [/etc/a, /etc/b]\nbuild: {options: [{name: ssh, packages: []}]}\n"
        folder = source(tmp_path / "site", HEAD + text, ["etc/a", "../rootfs-ssh/etc/b", "../rootfs-ssh/etc/c"])
        report = validate(folder, ask=nothing)
        assert told(report) == [(3, 12, "module.rootfs.unshipped")]
        assert report.findings[0].problem.found == "/etc/c"

    def test_devices_and_pipes(self, tmp_path: Path) -> None:
        folder = source(tmp_path / "site", HEAD, ["etc/a"])
        os.mkfifo(folder / "rootfs/etc/pipe")
        report = validate(folder, ask=nothing)
        assert told(report) == [(1, 1, "module.rootfs.type")]
        assert report.findings[0].problem.found == "/etc/pipe"

    @pytest.mark.parametrize("name", ["rootfs", "rootfs-ssh"])
    def test_a_link_in_the_place_of_the_folder(self, tmp_path: Path, name: str) -> None:
        folder = source(tmp_path / "site", HEAD + "build: {options: [{name: ssh, packages: []}]}\n")
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).symlink_to("/etc")
        assert told(validate(folder, ask=nothing)) == [(1, 1, "module.rootfs.folder")]

    def test_a_name_that_is_not_utf8(self, tmp_path: Path) -> None:
        folder = source(tmp_path / "site", HEAD, ["etc/a"])
        (folder / os.fsdecode(b"rootfs/etc/\xff")).touch()
        report = validate(folder, ask=nothing)
        assert told(report) == [(1, 1, "module.rootfs.name")]
        assert report.findings[0].problem.found == "/etc/\\xff"

    def test_folders_that_are_too_deep(self, tmp_path: Path) -> None:
        folder = source(tmp_path / "site", HEAD, ["etc/a"])
        here = os.open(folder / "rootfs", os.O_RDONLY)
        for _ in range(25):
            os.mkdir("x" * 200, dir_fd=here)
            below = os.open("x" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        assert told(validate(folder, ask=nothing)) == [(1, 1, "module.rootfs.name")]

    def test_more_than_a_layer_holds(self, tmp_path: Path) -> None:
        folder = source(tmp_path / "site", HEAD, ["etc/a"])
        os.truncate(folder / "rootfs/etc/a", 60 << 30)
        assert told(validate(folder, ask=nothing)) == [(1, 1, "module.rootfs.size")]

    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        folder = source(tmp_path / "site", HEAD + "file_spec: [/etc/up]\n", ["etc/x"])
        (folder / "rootfs/etc/x").unlink()
        (folder / "rootfs/etc/up").symlink_to("../..")
        assert told(validate(folder, ask=nothing)) == []
