"""Generated records of every input, right and wrong, over the real broker: each is answered, counted or set aside, and no part goes down.

Not part of `make test`; run with `make fuzz ARGS="--records 1000000 --minutes 30 --report fuzz.json"`.
"""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from rich.table import Table

from serving.connect import current_settings
from serving.local.home import Home
from serving.reach import redis_client
from serving.silence import samples
from serving.state import SystemState, read_state
from serving.verify import Verification, Verifier, verify_until_settled
from tests.chaos.fuzz.accounts import Account, accounts, refused_by_features
from tests.chaos.fuzz.sending import MIX, Sender

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7_200)]

MOST_WAITING = 30_000
"""Records that wait in front of one part before the sender waits too."""
QUIET_WITHIN_S = 900.0


class Report(msgspec.Struct, kw_only=True):
    """What a fuzz found."""

    records: int
    seed: int
    mix: dict[str, float]
    seconds: dict[str, float]
    sent: dict[str, int]
    refused_by_the_broker: dict[str, int]
    accounts: list[Account]
    not_ready: list[str]
    restarts: dict[str, int]
    lag: dict[str, int]
    rejected_by_features: tuple[int, int]
    verify: Verification

    def show(self) -> None:
        """Print a table of it."""
        table = Table("kind", "records", "taken", "set aside", "passed over", "wrong", title=f"{self.records:,} records, seed {self.seed}")
        for row in self.accounts:
            table.add_row(row.kind, *(f"{n:,}" for n in (row.records, row.taken, row.set_aside, row.passed_over, row.wrong)))
        console = Console(width=140)
        console.print(table)
        console.print(f"sent {self.sent}, refused by the broker {self.refused_by_the_broker}, seconds {self.seconds}")
        console.print(f"not ready {self.not_ready}, restarts {self.restarts}, lag {self.lag}")
        console.print(f"features rejected (expected, counted) {self.rejected_by_features}")
        found = self.verify
        console.print(f"verify: lost {found.lost}, double {found.double}, wrong {len(found.counters_wrong)} of {found.counters_checked:,}")


@pytest.fixture(scope="module")
def report(home: Home, request: pytest.FixtureRequest) -> Report:
    """A fuzz of as many records as were asked for, all of it accounted for."""
    wanted, minutes, seed = (request.config.getoption(name) for name in ("--records", "--minutes", "--seed"))
    settings = current_settings()
    started = time.monotonic()
    sender = Sender(settings, seed=seed, now_ms=time.time_ns() // 1_000_000)
    for _ in sender.chunks(wanted, until=started + 60 * minutes):
        _wait(home, waiting=MOST_WAITING, within_s=QUIET_WITHIN_S)
    sender.flush()
    sent_after = time.monotonic() - started
    _wait(home, waiting=0, within_s=QUIET_WITHIN_S)
    quiet_after = time.monotonic() - started
    verifier = Verifier(settings, redis_client(settings))
    found = verify_until_settled(verifier, wait=60)
    verifier.close()
    expected, counted = refused_by_features(settings), _rejected(home)
    state = _state(home)
    made = Report(
        records=sender.counts.total(),
        seed=seed,
        mix=MIX,
        seconds={"sending": round(sent_after, 1), "until quiet": round(quiet_after, 1)},
        sent=dict(sender.counts),
        refused_by_the_broker=dict(sender.refused),
        accounts=accounts(settings),
        not_ready=[part.name for part in state.parts if not part.ready],
        restarts={part.name: part.restarts for part in state.parts},
        lag={part.name: part.lag or 0 for part in state.parts},
        rejected_by_features=(expected, counted),
        verify=found,
    )
    made.show()
    path: Path | None = request.config.getoption("--report")
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    return made


def test_every_part_is_ready_none_was_started_again_and_none_is_behind(report: Report) -> None:
    assert report.not_ready == []
    assert set(report.restarts.values()) == {0}, report.restarts
    assert set(report.lag.values()) == {0}, report.lag


def test_the_broker_takes_every_record_so_that_the_parts_have_to(report: Report) -> None:
    assert report.refused_by_the_broker == {}
    assert sum(report.sent.values()) == report.records > 0


@pytest.mark.parametrize("kind", ["raw", "catalogue", "requests"])
def test_every_record_became_what_it_must(report: Report, kind: str) -> None:
    account = next(one for one in report.accounts if one.kind == kind)
    assert account.taken > 0
    assert account.set_aside > 0
    assert account.wrong == 0, account.examples


def test_features_counts_each_record_that_is_not_valid(report: Report) -> None:
    expected, counted = report.rejected_by_features
    assert counted == expected > 0


def test_the_recount_finds_nothing_wrong(report: Report) -> None:
    found = report.verify
    assert (found.lost, found.double, found.counters_wrong) == (0, 0, []), (found.lost_examples, found.double_examples)
    assert found.counters_checked > 0


def _state(home: Home) -> SystemState:
    state = read_state(home)
    assert state is not None
    return state


def _wait(home: Home, *, waiting: int, within_s: float) -> None:
    """Return when no part has more than `waiting` records in front of it (none: for some seconds), or `within_s` have passed."""
    deadline = time.monotonic() + within_s
    calm = 0
    while calm <= (0 if waiting else 10) and time.monotonic() < deadline:
        most = max(part.lag or 0 for part in _state(home).parts)
        calm = calm + 1 if most <= waiting else 0
        time.sleep(0.2 if calm or not waiting else 0.5)


def _rejected(home: Home) -> int:
    """Return how many records the features part says that it rejected, -1 where it is not there to say so."""
    try:
        port = int((home.run / "features.port").read_text(encoding="ascii"))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            found = samples(answer.read().decode())
    except OSError:
        return -1
    return int(found["penstock_features_rejected_total", ""])
