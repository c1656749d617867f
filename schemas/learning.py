"""Learning: labelled examples, online weights, the objective, live metrics."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from schemas.base import Message
from schemas.telemetry import Name

MAX_HEADS = 32
MAX_WEIGHT = 1_000_000
HEADS = ("taken", "click", "long_view", "like", "finish", "share", "follow", "negative")

Weight = Annotated[float, Meta(ge=-MAX_WEIGHT, le=MAX_WEIGHT)]


class LabelledExample(Message, frozen=True, kw_only=True):
    """A served item and what came of it (`learning.examples`; key: user_id; repeats after a crash fold by example_id).

    `features` is float32 of shape (n_features,), as served. `labels` maps a head (HEADS)
    to 0 or 1. `joined_by` is `token` for an exact join, `video` where an upstream outcome carried no token.
    """

    TYPE: ClassVar[str] = "penstock.learning.example"

    example_id: str
    request_id: str
    user_id: str
    video_id: str
    position: int
    served_ms: int
    outcome_ms: int
    labels: dict[str, int]
    watch_ms: int = 0
    propensity: float
    model_versions: dict[str, str]
    feature_set: str
    features: bytes
    joined_by: str = "token"
    surface: str | None = None


class OnlineWeights(Message, frozen=True, kw_only=True):
    """Weights of the online ranker (`models.online`, compacted; key: model).

    `heads` maps a head to float32 of shape (n_features + 1,), the bias last.
    """

    TYPE: ClassVar[str] = "penstock.models.online"

    model: str
    version: int
    feature_set: str
    updated_ms: int
    examples: int
    heads: dict[str, bytes]


class Objective(Message, frozen=True, kw_only=True):
    """What the ranker maximises (`control.objective`, compacted; key: "feed"): score = Σ weight of head · logit of head."""

    TYPE: ClassVar[str] = "penstock.control.objective"

    version: Name
    heads: Annotated[dict[Name, Weight], Meta(max_length=MAX_HEADS)]
    exploration_rate: Annotated[float, Meta(ge=0, le=1)] = 0.05


class LearningMetrics(Message, frozen=True, kw_only=True):
    """Progressive validation of one head: each example predicted before it was learned (`learning.metrics`; key: `model/head`).

    The model `challenger` is an `estimator` of river that learns beside the champion. It is shown the share `sampled` of the examples,
    and `champion_auc` and `champion_log_loss` are the champion's on the same predictions. `off` says why it learns no more.
    """

    TYPE: ClassVar[str] = "penstock.learning.metrics"

    model: str
    head: str
    as_of_ms: int
    window: int
    examples: int
    positives: int
    auc: float | None
    log_loss: float
    calibration: float
    estimator: str | None = None
    sampled: float | None = None
    champion_auc: float | None = None
    champion_log_loss: float | None = None
    off: str | None = None


class DriftAlarm(Message, frozen=True, kw_only=True):
    """The loss of a head has changed (`learning.drift`; key: `model/head`; repeats after a crash fold by `examples`).

    `before` and `after` are mean squared errors of what was predicted before it was learned, `examples` how many predictions there were.
    """

    TYPE: ClassVar[str] = "penstock.learning.drift"

    model: str
    head: str
    detector: str
    at_ms: int
    examples: int
    before: float
    after: float
