"""R@10 and R@100 of a file of answers, by the protocol of the log that was streamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.errors import ConfigError, ContractError
from serving.kuairand.log import KuaiRandLog, read_folder
from serving.kuairand.protocol import ranked_rows, row_of

CUTS = (10, 100)
MAIN_TAB = 1
_MISS = np.iinfo(np.int64).max


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an answers file: `items` as they were shown, `ranked` in the ranker's order before re-ranking, best first."""

    user_id: str
    ts_ms: int
    request_id: str | None = None
    tab: int | str | None = None
    items: list[str] = []
    ranked: list[str] = []
    level: str | None = None
    latency_ms: float | dict[str, float] | None = None


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Share of the rows whose video is among the first 10 (100); None where there is no row. The intervals hold 95 %."""

    r10: float | None
    r10_ci: tuple[float, float] | None
    r100: float | None
    r100_ci: tuple[float, float] | None


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The score of some rows: `n` of them, `unanswered` of which have no answer and count as misses."""

    n: int
    unanswered: int
    items: Recall
    ranked: Recall


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The score of a file of answers; `tab1` is the same for the main surface alone. Encodes to the report for programs."""

    n: int
    unanswered: int
    items: Recall
    ranked: Recall
    tab1: Slice


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the video of each ranked row stands in its answer, from 0, `_MISS` where it is not; all of shape (n_rows,)."""

    items: NDArray[np.int64]
    ranked: NDArray[np.int64]
    answered: NDArray[np.bool_]


def score(
    answers: str | Path,
    folder: str | Path | KuaiRandLog,
    *,
    first_day: int | None = None,
    draws: int = 1_000,
    seed: int = 0,
) -> Score:
    """Score a file of answers.

    An answer belongs to the row that its request id names (`request_id_for`, whatever comes before it) if that row is of its user and
    instant, else to the first ranked row of its user and instant that has no answer yet. Of several answers to one row the first
    counts. Ids that are unknown, repeated or were already shown keep their place; a missing answer is a miss.

    Parameters
    ----------
    answers : str or Path
        A JSON-lines file of `Answer`; answers to other requests are passed over.
    folder : str, Path or KuaiRandLog
        The log that was streamed.
    first_day : int or None
        First day that counts, see `ranked_rows`.
    draws : int
        Bootstrap draws of users; all figures of one call share them.
    seed : int
        Seed of the draws.

    Raises
    ------
    ConfigError
        If the file is missing, or the log has no row to rank.
    ContractError
        If a line is no answer.
    """
    log = folder if isinstance(folder, KuaiRandLog) else read_folder(folder)
    rows = ranked_rows(log, first_day=first_day)
    if not len(rows):
        raise ConfigError(
            expected="at least one ranked row after the warm-up days",
            got=f"none in days {log.days}",
            where="the log",
            do="give a log of three days or more, or a first day",
        )
    places = _find(Path(answers), log, rows)
    users = log["user_id"][rows]
    whole = _slice(places, users, np.ones(len(rows), bool), draws, seed)
    tab1 = _slice(places, users, log["tab"][rows] == MAIN_TAB, draws, seed)
    return Score(n=whole.n, unanswered=whole.unanswered, items=whole.items, ranked=whole.ranked, tab1=tab1)


def as_text(result: Score) -> str:
    """Lay a score out as a table for people.

    Examples
    --------
    >>> nothing = Recall(r10=None, r10_ci=None, r100=None, r100_ci=None)
    >>> some = Recall(r10=0.1, r10_ci=(0.09, 0.11), r100=0.4, r100_ci=(0.39, 0.41))
    >>> empty = Slice(n=0, unanswered=0, items=nothing, ranked=nothing)
    >>> print(as_text(Score(n=50, unanswered=1, items=some, ranked=some, tab1=empty)))
    rows   list    n      unanswered  R@10                    R@100
    all    items   50     1           0.1000 [0.0900, 0.1100] 0.4000 [0.3900, 0.4100]
    all    ranked  50     1           0.1000 [0.0900, 0.1100] 0.4000 [0.3900, 0.4100]
    tab 1  items   0      0           -                       -
    tab 1  ranked  0      0           -                       -
    """
    whole = Slice(n=result.n, unanswered=result.unanswered, items=result.items, ranked=result.ranked)
    lines = [f"{'rows':6} {'list':7} {'n':6} {'unanswered':11} {'R@10':23} R@100"]
    for name, part in (("all", whole), ("tab 1", result.tab1)):
        for which, recall in (("items", part.items), ("ranked", part.ranked)):
            cells = [_cell(recall.r10, recall.r10_ci), _cell(recall.r100, recall.r100_ci)]
            lines.append(f"{name:6} {which:7} {part.n:<6} {part.unanswered:<11} {cells[0]:23} {cells[1]}")
    return "\n".join(lines)


def _cell(value: float | None, interval: tuple[float, float] | None) -> str:
    return "-" if value is None or interval is None else f"{value:.4f} [{interval[0]:.4f}, {interval[1]:.4f}]"


def read_answers(path: Path) -> Iterator[Answer]:
    """Yield the answers of a JSON-lines file.

    Raises
    ------
    ConfigError
        If there is no such file.
    ContractError
        If a line is no answer.
    """
    decoder = msgspec.json.Decoder(Answer)
    if not path.is_file():
        raise ConfigError(expected="a file of answers", got="none", where=str(path), do="make one with `penstock load`")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ContractError(expected="an answer as a JSON object", got=str(error), where=f"{path}:{number}") from error


def _find(path: Path, log: KuaiRandLog, rows: NDArray[np.int64]) -> _Places:
    """Look every ranked row's video up in its answer."""
    places = _Places(np.full(len(rows), _MISS), np.full(len(rows), _MISS), np.zeros(len(rows), bool))
    users, instants, videos = (log[column][rows].tolist() for column in ("user_id", "time_ms", "video_id"))
    keys = [(str(user), at_ms) for user, at_ms in zip(users, instants, strict=True)]
    by_row = {row: index for index, row in enumerate(rows.tolist())}
    by_key: dict[tuple[str, int], list[int]] = {}
    for index, key in enumerate(keys):
        by_key.setdefault(key, []).append(index)

    def take(index: int, answer: Answer) -> None:
        if not places.answered[index]:
            places.items[index] = _place(answer.items, str(videos[index]))
            places.ranked[index] = _place(answer.ranked, str(videos[index]))
            places.answered[index] = True

    unnamed: list[Answer] = []
    for answer in read_answers(path):
        key = (answer.user_id, answer.ts_ms)
        if key not in by_key or not _is_answered(answer):
            continue
        row = row_of(answer.request_id)
        if row is None or row >= len(log) or (str(log["user_id"][row]), int(log["time_ms"][row])) != key:
            unnamed.append(answer)
        elif row in by_row:
            take(by_row[row], answer)
    for answer in unnamed:
        left = [index for index in by_key[answer.user_id, answer.ts_ms] if not places.answered[index]]
        if left:
            take(left[0], answer)
    return places


def _is_answered(answer: Answer) -> bool:
    return answer.level is not None or bool(answer.items) or bool(answer.ranked)


def _place(ids: list[str], video: str) -> int:
    return ids.index(video) if video in ids else int(_MISS)


def _slice(places: _Places, users: NDArray[np.int64], which: NDArray[np.bool_], draws: int, seed: int) -> Slice:
    _, owners = np.unique(users[which], return_inverse=True)
    weights = _bootstrap(owners, draws, seed)
    return Slice(
        n=int(which.sum()),
        unanswered=int((which & ~places.answered).sum()),
        items=_recall(places.items[which], owners, weights),
        ranked=_recall(places.ranked[which], owners, weights),
    )


def _bootstrap(owners: NDArray[np.int64], draws: int, seed: int) -> NDArray[np.int64]:
    """Draw users with replacement: how often each one is in each draw, shape (draws, n_users)."""
    n_users = int(owners.max()) + 1 if len(owners) else 0
    rng = np.random.default_rng(seed)
    counts = [np.bincount(rng.integers(0, n_users, n_users), minlength=n_users) for _ in range(draws if n_users else 0)]
    return np.array(counts, dtype=np.int64).reshape(-1, n_users)


def _recall(places: NDArray[np.int64], owners: NDArray[np.int64], weights: NDArray[np.int64]) -> Recall:
    """Compute both recalls; `places` and `owners` have shape (n_rows,), `weights` (draws, n_users)."""
    if not len(places):
        return Recall(r10=None, r10_ci=None, r100=None, r100_ci=None)
    totals = weights @ np.bincount(owners)
    values, intervals = [], []
    for cut in CUTS:
        hits = places < cut
        values.append(float(hits.mean()))
        drawn = (weights @ np.bincount(owners, weights=hits)) / totals
        low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
        intervals.append((low, high))
    return Recall(r10=values[0], r10_ci=intervals[0], r100=values[1], r100_ci=intervals[1])
