"""`penstock feed` and `penstock simulate`, with a client that answers at once."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import pytest

from schemas.feed import FeedItem, FeedRequest, FeedResponse, Level
from schemas.settings import Settings
from schemas.telemetry import Context
from serving.cli import main
from serving.errors import ContractError, TransportError
from serving.simulator import SimulationResult

ITEM = FeedItem(
    video_id="v-1",
    title="[bold]A cat[/]",
    video_url=None,
    thumbnail_url=None,
    prefetch_url=None,
    creator_id=None,
    score=1.0,
    source="fresh",
    recommendation_reason="Just uploaded",
    tracking_token="t",
)


class Client:
    """Answers with `items`, or fails with `failure`."""

    asked: list[FeedRequest] = []
    items: list[FeedItem] = []
    failure: Exception | None = None

    def __init__(self, *_args: object, **_named: object) -> None:
        pass

    def ask(self, request: FeedRequest) -> FeedResponse:
        Client.asked.append(request)
        if Client.failure is not None:
            raise Client.failure
        return FeedResponse(
            request_id="r", user_id=request.user_id, now_ms=1, items=Client.items, degradation_level=Level.FULL, relaxed=("creator",)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


class Tail:
    """Counts how many are open."""

    open = 0

    def __init__(self, _settings: Settings) -> None:
        Tail.open += 1

    def wait_for(self, request_id: str, *, timeout: float) -> Any:
        raise TransportError(expected=f"the lineage of request {request_id}", got=f"none in {timeout} s", where="feed.served")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        Tail.open -= 1


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.cli.feed.FeedClient", Client)
    monkeypatch.setattr("serving.cli.feed.ServedTail", Tail)
    monkeypatch.setattr("serving.cli.feed.connected_settings", Settings)
    monkeypatch.setenv("COLUMNS", "200")
    Client.asked, Client.items, Client.failure = [], [ITEM], None


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def test_a_feed_is_only_looked_at_unless_it_is_to_be_served() -> None:
    assert run("feed", "42") == 0
    assert run("feed", "42", "--serve", "--limit", "5") == 0
    assert Client.asked == [FeedRequest(user_id="42", shadow=True), FeedRequest(user_id="42", limit=5)]


def test_everything_that_a_request_can_say_can_be_said() -> None:
    where = ("--region", "DE", "--language", "de", "--surface", "home", "--device", "phone")
    assert run("feed", "42", *where, "--ts", "1700000000000", "--request-id", "r-1", "--cursor", "c-1") == 0
    context = Context(region="DE", language="de", surface="home", device="phone")
    assert Client.asked == [
        FeedRequest(user_id="42", request_id="r-1", ts_ms=1_700_000_000_000, cursor="c-1", context=context, shadow=True)
    ]
    assert run("feed", "42", "--ts", "2023-11-14T22:13:20Z") == 0
    assert Client.asked[-1].ts_ms == 1_700_000_000_000
    assert run("feed", "42", "--ts", "yesterday") == 2


def test_an_empty_feed_says_what_to_do_and_rules_that_gave_way_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    run("feed", "42")
    shown = capsys.readouterr().out
    assert "send videos" not in shown
    assert "rules that gave way: creator" in shown
    Client.items = []
    assert run("feed", "42") == 0
    assert "penstock produce FILE --kind catalogue" in capsys.readouterr().out


def test_a_refusal_is_told_with_what_was_expected_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    Client.failure = ContractError(expected="at most 100", got="1000", where="feed.requests $.limit", do="ask for fewer")
    assert run("feed", "42") == 1
    assert "expected at most 100, got 1000, at feed.requests $.limit; ask for fewer" in capsys.readouterr().err


def test_what_follows_the_lineage_is_closed_whatever_happens() -> None:
    assert run("feed", "42", "--why") == 1
    Client.failure = TransportError(expected="an answer", got="none", where="feed.requests")
    assert run("feed", "42", "--why") == 1
    assert Tail.open == 0


@pytest.mark.parametrize("unanswered", [0, 3])
def test_a_simulation_with_unanswered_requests_fails(
    unanswered: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Silent(Client):
        topic_prefix = ""
        timeout = 1.0

        def publish(self, *_args: object) -> None:
            pass

    for name in ("Publisher", "TelemetryProducer", "FeedClient"):
        monkeypatch.setattr(f"serving.cli.simulate.{name}", Silent)
    monkeypatch.setattr("serving.cli.simulate.connected_settings", Settings)
    monkeypatch.setattr("serving.cli.simulate.run", lambda *_args, **_named: SimulationResult(requests=5, unanswered=unanswered))
    assert run("simulate", "--videos", "1", "--json") == bool(unanswered)
    assert json.loads(capsys.readouterr().out)["unanswered"] == unanswered
