import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.errors import ServiceError
from serving.local.processes import (
    ProcessMark,
    choose_port,
    file_lock,
    find_by_argument,
    port_is_free,
    rotate,
    spawn,
    tail,
)

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def started(code: str, log: Path, *words: str) -> ProcessMark:
    mark = spawn([sys.executable, "-c", code, *words], log=log)
    while "up" not in tail(log):
        assert mark.alive()
        time.sleep(0.01)
    return mark


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ProcessMark]:
    mark = started(SLEEPER, tmp_path / "log", str(tmp_path / "own.conf"))
    yield mark
    mark.end(patience_s=5)


def test_a_process_leads_a_session_of_its_own(sleeper: ProcessMark) -> None:
    assert os.getsid(sleeper.pid) == sleeper.pid


def test_a_mark_survives_its_file(sleeper: ProcessMark, tmp_path: Path) -> None:
    path = tmp_path / "mark"
    sleeper.write(path)
    assert ProcessMark.read(path) == sleeper
    assert path.stat().st_mode & 0o077 == 0


def test_a_recycled_pid_is_neither_alive_nor_killed(sleeper: ProcessMark) -> None:
    stale = ProcessMark(sleeper.pid, "another birth")
    assert not stale.alive()
    stale.end(patience_s=0.1)
    assert sleeper.alive()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "born": 1}', '{"pid": 1}', "null"])
def test_a_damaged_mark_is_no_mark(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mark"
    path.write_text(text)
    assert ProcessMark.read(path) is None


def test_a_process_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    mark = started(STUBBORN, tmp_path / "log")
    mark.end(patience_s=0.2)
    assert not mark.alive()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=re.escape(str(tmp_path / "nothing"))):
        spawn([tmp_path / "nothing"], log=tmp_path / "log")


def test_a_process_is_found_by_its_program_and_argument(sleeper: ProcessMark, tmp_path: Path) -> None:
    own = str(tmp_path / "own.conf")
    assert find_by_argument(os.path.basename(sys.executable), own) == sleeper
    assert find_by_argument("vim", own) is None
    assert find_by_argument(os.path.basename(sys.executable), own + ".other") is None


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        assert not port_is_free(taken)
        assert choose_port(taken) != taken


def test_a_port_to_avoid_is_passed_over() -> None:
    free = choose_port()
    assert choose_port(free) == free
    assert choose_port(free, avoid=[free]) != free


def test_a_lock_admits_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock(path, timeout_s=1):
        with pytest.raises(ServiceError, match="another process that holds it"), file_lock(path, timeout_s=0):
            pass
    with file_lock(path, timeout_s=0):
        pass


def test_old_logs_move_up_and_the_oldest_goes(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    for run in range(5):
        rotate(log, keep=2)
        log.write_text(f"run {run}")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "kafka.log": "run 4",
        "kafka.log.1": "run 3",
        "kafka.log.2": "run 2",
    }


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{number:06}\n" for number in range(5000)))
    assert tail(log, lines=2) == "004998\n004999"
    assert tail(tmp_path / "none") == ""
