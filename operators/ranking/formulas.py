"""The features that need more than one line."""

from __future__ import annotations

import numpy as np

from operators.ranking.view import Values, View
from operators.taste import Taste
from operators.windows.decay import DAY_MS, HOUR_MS, index_of
from schemas.features import Counter

IMPRESSIONS_1H = index_of(Counter.IMPRESSIONS, HOUR_MS)
IMPRESSIONS_24H = index_of(Counter.IMPRESSIONS, DAY_MS)
IMPRESSIONS_96H = index_of(Counter.IMPRESSIONS, 4 * DAY_MS)
LONG_VIEWS_24H = index_of(Counter.LONG_VIEWS, DAY_MS)
LONG_VIEWS_96H = index_of(Counter.LONG_VIEWS, 4 * DAY_MS)
CO_WATCHED_FLOOR = 0.0005
HALF_HOUR_MS = 30 * 60_000
POSITIVES_BY_DURATION = 10


def co_watched(view: View) -> Values:
    """How much the video was watched together with the person's last watches."""
    rows, together = view.query.co_watched
    found = np.append(together, 0.0)[view.tables.videos.places(view.rows, rows)]
    values: Values = np.log(found + CO_WATCHED_FLOOR)
    return values


def impressions_1h(view: View) -> Values:
    """Impressions of the last hour, decayed."""
    return view.decayed(IMPRESSIONS_1H)


def surface_impressions(view: View) -> Values:
    """Impressions of the last day on the request's surface; on all surfaces where the request names none."""
    surface = view.query.surface
    if surface is None:
        values = view.decayed(IMPRESSIONS_24H)
    else:
        known = view.tables.counters.on_surface(view.rows, surface, view.query.now_ms)
        values = view.constant(0.0) if known is None else known
    return np.log(values + 0.2)


def long_view_rate(view: View) -> Values:
    """How often the video was watched for long over the last days."""
    return (view.decayed(LONG_VIEWS_96H) + 1.6) / (view.decayed(IMPRESSIONS_96H) + 5.0)


def long_views_24h(view: View) -> Values:
    """Long views of the last day, decayed."""
    return view.decayed(LONG_VIEWS_24H)


def completion(view: View) -> Values:
    """Mean share of the video that was watched."""
    watched = view.total(Counter.COMPLETION_PERMILLE) / 1_000.0
    return (watched + 4) / (view.total(Counter.WATCHES) + 10)


def taste(view: View) -> Values:
    """Cosine between the person's taste and the video's content."""
    return view.query.similarity(view.rows).astype(np.float64) / (127.0 * 127.0)


def tag_interest(view: View) -> Values:
    """How much the person is interested in the video's tags."""
    return view.summed_over_tags(view.query.tag_interest)


def tag_long_view_rate(view: View) -> Values:
    """How often videos with these tags are watched for long."""
    totals = view.tables.tag_counters.totals.values
    total, count = view.constant(0.0), view.constant(0.0)
    for codes in view.tags:
        known = codes >= 0
        rates = (totals[codes, Counter.LONG_VIEWS] + 6.0) / (totals[codes, Counter.IMPRESSIONS] + 20.0)
        total += np.where(known, rates, 0.0)
        count += known
    return np.where(count > 0, total / np.maximum(count, 1.0), 0.3)


def creator_followed(view: View) -> Values:
    """Whether the person follows the creator."""
    followed = view.query.followed
    if not followed:
        return view.constant(0.0)
    return view.tables.creators.among(view.creators, np.array(followed)).astype(np.float64)


def creator_taken(view: View) -> Values:
    """How often the person took to the creator lately."""
    return _of_creator(view, view.query.positives)


def creator_passed(view: View) -> Values:
    """How much of what the person passed lately is of the creator."""
    return _of_creator(view, view.query.passed)


def category_taken(view: View) -> Values:
    """How much of what the person took to lately is of the video's category."""
    return _of_category(view, view.query.by_category(view.query.positives))


def category_watched(view: View) -> Values:
    """How much of what the person watched lately is of the video's category."""
    return _of_category(view, view.query.by_category(view.query.watched))


def category_passed(view: View) -> Values:
    """How much of what the person passed lately is of the video's category."""
    return _of_category(view, view.query.by_category(view.query.passed))


def category_watched_30m(view: View) -> Values:
    """Share of what the person watched in this half hour that is of the video's category."""
    watched, items = view.query.watched, view.tables.items
    codes = items.category.values[watched.rows[watched.at_ms > view.query.now_ms - HALF_HOUR_MS]]
    counts = np.append(np.bincount(codes[codes >= 0], minlength=len(items.categories)), 0)
    shares: Values = counts[view.categories] / (len(codes) + 2.0)
    return shares


def tag_taken_5m(view: View) -> Values:
    """How often the person took to something with the video's tags in the last 5 minutes."""
    return _over_tags(view, view.query.lately[5].tag_taken)


def tag_taken_30m(view: View) -> Values:
    """How often the person took to something with the video's tags in the last 30 minutes."""
    return _over_tags(view, view.query.lately[30].tag_taken)


def tag_passed_30m(view: View) -> Values:
    """How often the person passed something with the video's tags in the last 30 minutes."""
    return _over_tags(view, view.query.lately[30].tag_passed)


def person_taken_30m(view: View) -> Values:
    """How often the person takes to what is shown in this half hour: the same for all candidates."""
    lately = view.query.lately[30]
    return view.constant((lately.taken + 1.5) / (lately.impressions + 5.0))


def person_passed_30m(view: View) -> Values:
    """How often the person passes what is shown in this half hour: the same for all candidates."""
    lately = view.query.lately[30]
    return view.constant((lately.passed + 1.5) / (lately.impressions + 5.0))


def duration(view: View) -> Values:
    """Length of the video."""
    duration_ms = view.tables.items.duration_ms.values[view.rows]
    values: Values = np.log1p(np.where(duration_ms >= 0, duration_ms, 30_000) / 1_000.0)
    return values


def duration_unlike(view: View) -> Values:
    """How far the video's length is from what the person takes to."""
    taken = view.query.positives
    duration_ms = view.tables.items.duration_ms.values[taken.rows[taken.places < POSITIVES_BY_DURATION]]
    known = duration_ms[duration_ms >= 0]
    if len(known) == 0:
        return view.constant(0.0)
    liked = np.log1p(known / 1_000.0)
    return np.abs(duration(view) - float(liked.mean()))


def person_long_view_rate(view: View) -> Values:
    """How often the person watches for long: the same for all candidates, for the heads that are probabilities."""
    state = view.query.state
    if state is None:
        return view.constant(0.3)
    return view.constant((state.totals[Counter.LONG_VIEWS] + 6.0) / (state.totals[Counter.IMPRESSIONS] + 20.0))


def luck(view: View) -> Values:
    """Draw a number for each video, by seed."""
    return (view.query.shuffled(view.rows) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def popularity(view: View) -> Values:
    """How popular the video ever was."""
    values: Values = np.log1p(view.tables.counters.popularity.values[view.rows])
    return values


def _of_creator(view: View, videos: Taste) -> Values:
    creators, counts = np.unique(view.tables.items.creator.values[videos.rows], return_counts=True)
    values: Values = np.log1p(np.append(counts, 0)[view.tables.creators.places(view.creators, creators)])
    return values


def _of_category(view: View, by_category: Values) -> Values:
    values: Values = np.log1p(np.append(by_category, 0.0)[view.categories])
    return values


def _over_tags(view: View, by_tag: Values) -> Values:
    return view.summed_over_tags(np.log1p(by_tag)) if by_tag.any() else view.constant(0.0)
