"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from motion_lib.errors import MotionError
from motion_lib.files.atomic import check_writable, replacing


def test_file_takes_its_name_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")
    with replacing(target) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".json"
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with replacing(str(tmp_path / "x" / "y" / "a.txt")) as temporary:
        temporary.write_text("1")
    assert (tmp_path / "x" / "y" / "a.txt").read_text() == "1"


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failure", [ValueError("bug"), KeyboardInterrupt(), MotionError("bad")])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(failure)), replacing(target) as temporary:
        temporary.write_text("half")
        raise failure
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"Cannot write .*a\.txt: No space left on device; check") as caught:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert isinstance(caught.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


def test_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep")
    for path in (tmp_path / "file" / "a.txt", tmp_path / "file" / "deeper" / "a.txt"):
        with pytest.raises(MotionError, match="Cannot write"), replacing(path):
            pass
    assert (tmp_path / "file").read_text() == "keep"


def test_folder_in_the_way_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(MotionError, match="Cannot write"), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("1")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(MotionError, match="Permission denied"), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("1")
    tmp_path.chmod(0o755)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it points to is replaced, as when one writes to it; the name of the writer's choice keeps its ending."""
    (tmp_path / "disk").mkdir()
    target = tmp_path / "disk" / "blob"
    for before in (None, "old"):
        if before:
            target.write_text(before)
        (link := tmp_path / f"{before}.txt").symlink_to(target)
        with replacing(link) as temporary:
            assert temporary.parent == target.parent and temporary.suffix == ".txt"
            temporary.write_text("new")
        assert link.is_symlink() and target.read_text() == "new" and not target.is_symlink()
    assert list((tmp_path / "disk").iterdir()) == [target]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    (tmp_path / "link.txt").symlink_to(pipe)
    for path in (pipe, tmp_path / "link.txt"):
        with pytest.raises(MotionError, match=r"Cannot write .*: it is a device, a pipe or a socket"):
            with replacing(path) as temporary:
                temporary.write_text("1")
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", [".", "", "..", "folder", "a\0b", "x" * 300, "file/a.txt"])
@pytest.mark.parametrize("attempt", [check_writable, lambda path: replacing(path).__enter__()])
def test_names_that_cannot_be_written(name: str, attempt, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("keep")
    with pytest.raises(MotionError, match=r"^Cannot write "):
        attempt(name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_looking_whether_one_can_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    for name in ("a.txt", "b.txt", "deeper/c.txt"):
        check_writable(tmp_path / name)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.txt", "deeper"]
