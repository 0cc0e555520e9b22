"""One process at a time learns into a file, and nobody waits for one that is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from motion_lib.errors import MotionError
from motion_lib.files import claims
from motion_lib.files.claims import STALE, Claimed, claim_of, claimed

ROOT = Path(__file__).parents[1]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


def leave(out: Path, seconds: float = 0.0, **changes) -> bytes:
    """A claim as this process would make it, with changes, untouched for so long."""
    content = json.dumps(json.loads(claims._description()) | changes).encode()
    claim_of(out).write_bytes(content)
    now = claim_of(out).stat().st_mtime
    os.utime(claim_of(out), (now - seconds, now - seconds))
    return content


def test_the_second_is_refused_until_the_first_is_done(out: Path) -> None:
    with claimed(out):
        with pytest.raises(
            Claimed, match=rf"is being learned by process {os.getpid()} on .*delete a\.safetensors\.claim"
        ):
            with claimed(out):
                pass
        assert claim_of(out).is_file()
    with claimed(out):
        pass
    assert list(out.parent.iterdir()) == []


def test_an_error_gives_the_claim_up(out: Path) -> None:
    with pytest.raises(ValueError), claimed(out):
        raise ValueError
    assert not claim_of(out).exists()


def test_the_claim_of_a_process_that_is_gone_is_taken_over(out: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    leave(out, process=process.pid)
    with claimed(out):
        assert json.loads(claim_of(out).read_bytes())["process"] == os.getpid()
    assert list(out.parent.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where the system says when a process began")
def test_a_process_of_the_same_number_is_another_one(out: Path) -> None:
    leave(out, started="1")
    with claimed(out):
        pass


@pytest.mark.parametrize("changes", [{"place": "another machine", "host": "gpu7"}, {"place": None}])
def test_of_other_machines_one_knows_by_what_they_touch(changes: dict, out: Path) -> None:
    leave(out, STALE - 60, **changes)
    with pytest.raises(Claimed), claimed(out):
        pass
    leave(out, STALE + 60, **changes)
    with claimed(out):
        pass


@pytest.mark.parametrize("content", [b"", b"[]", b'{"host": 3', b'{"host": "\\u001b[2J", "process": 1}'])
def test_claims_that_cannot_be_read(content: bytes, out: Path) -> None:
    claim_of(out).write_bytes(content)
    with pytest.raises(Claimed, match="is being learned by another process"), claimed(out):
        pass
    os.utime(claim_of(out), (1, 1))
    with claimed(out):
        pass


def test_a_new_claim_is_not_removed_for_an_old_one(out: Path) -> None:
    """Another process took it over between reading and removing."""
    content = leave(out)
    claims._remove(claim_of(out), b"the old one")
    assert claim_of(out).read_bytes() == content and list(out.parent.iterdir()) == [claim_of(out)]


def test_a_claim_that_was_lost_is_left_to_its_owner(out: Path) -> None:
    with claimed(out):
        content = leave(out, host="gpu7")
    assert claim_of(out).read_bytes() == content


def test_work_touches_its_claim(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "TOUCHED", 0.01)
    with claimed(out):
        os.utime(claim_of(out), (1, 1))
        limit = time.monotonic() + 20
        while claim_of(out).stat().st_mtime == 1 and time.monotonic() < limit:
            time.sleep(0.01)
        assert claim_of(out).stat().st_mtime > 1


RACER = """
import sys
from pathlib import Path
from motion_lib.files.claims import Claimed, claimed
print("ready", flush=True)
sys.stdin.readline()
try:
    with claimed(Path(sys.argv[1])):
        print("mine", flush=True)
        sys.stdin.readline()
except Claimed:
    print("not mine", flush=True)
"""


def test_of_many_that_find_an_abandoned_claim_one_gets_it(out: Path) -> None:
    leave(out, started="1", process=999_999_999)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen([sys.executable, "-c", RACER, str(out)], cwd=ROOT, **pipes) for _ in range(5)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() for racer in racers]
    for racer in racers:
        racer.communicate("done\n")
    assert sorted(said) == ["mine", *["not mine"] * 4] and list(out.parent.iterdir()) == []


def test_no_claim_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MotionError, match=r"^Cannot write "), claimed(tmp_path / "file" / "a.safetensors"):
        pass
