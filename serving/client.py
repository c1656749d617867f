"""The client of the request-reply topics: correlation, deadline, fixed reply partition, bounded in flight, hedging."""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, Message, TopicPartition

from schemas.codec import encode
from schemas.feed import FeedRequest, FeedResponse
from schemas.partition import partition_for
from serving.broker import count_partitions, end_of
from serving.errors import ContractError, TransportError
from serving.pending import ClientCounts, Pending, checked_request, closed
from serving.routing import HedgeBudget, PartitionRouter
from serving.wire import Reply, disconnect, reply_consumer, reply_of, request_headers, request_producer

REQUESTS, RESPONSES, _LONGEST_S = "feed.requests", "feed.responses", 86_400.0

_log = logging.getLogger(__name__)


class FeedClient:
    """Asks for feeds on `feed.requests` and reads the answers from its own partition of `feed.responses`.

    A request that stays unanswered for `hedge_after` seconds is sent again, with the same id and the next attempt number, to the
    partition that answered last: a dead worker costs one hedge, not a rebalance (Dean and Barroso, "The Tail at Scale", CACM 2013). The
    first answer wins; later ones are counted and dropped.

    Parameters
    ----------
    kafka : Mapping[str, str]
        Connection properties of librdkafka (`Settings.kafka()`).
    timeout : float
        Seconds until an unanswered request fails; also its deadline header, so that workers drop it unworked after that.
    hedge_after : float
        Seconds until a request is sent a second time; about the p99. Every further multiple sends it again, up to `max_attempts`.
    max_attempts : int
        Attempts per request in all; 1 never hedges.
    hedge_share : float
        Hedges per request in the long run at most (see HedgeBudget).
    max_in_flight : int
        Requests unanswered at once; `submit` waits for a place beyond that.
    reply_partition : int or None
        Partition of `feed.responses` that is this client's own; None draws it from the client's id.
    topic_prefix : str
        As in `Settings.topic_prefix`.

    Examples
    --------
    >>> with FeedClient({"bootstrap.servers": "127.0.0.1:9092"}) as client:  # doctest: +SKIP
    ...     [item.video_id for item in client.feed("42", limit=5).items]
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        *,
        timeout: float = 2.0,
        hedge_after: float = 0.06,
        max_attempts: int = 3,
        hedge_share: float = 0.1,
        max_in_flight: int = 256,
        reply_partition: int | None = None,
        topic_prefix: str = "",
    ) -> None:
        self.timeout = timeout
        self.hedge_after = hedge_after
        self.max_attempts = max_attempts
        self.hedge_share = hedge_share
        self.max_in_flight = max_in_flight
        self.counts = ClientCounts()
        self.client_id = uuid.uuid4().hex
        self._requests = topic_prefix + REQUESTS
        self._responses = topic_prefix + RESPONSES
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(max_in_flight)
        self._pending: dict[str, Pending] = {}
        self._hedged: dict[str, Pending] = {}
        self._timers: list[tuple[float, int, str]] = []
        self._timer_number = 0
        self._budget = HedgeBudget(share=hedge_share)
        self._closed, self._left = threading.Event(), threading.Event()
        self._producer, self._consumer = request_producer(kafka), reply_consumer(kafka, self.client_id)
        try:
            self._router, self.reply_partition = self._take_partition(reply_partition)
        except BaseException:
            disconnect(self._producer, self._consumer)
            raise
        self._thread = threading.Thread(target=self._run, name="feed-client", daemon=True)
        self._thread.start()

    def _take_partition(self, wanted: int | None) -> tuple[PartitionRouter, int]:
        router = PartitionRouter(partitions=count_partitions(self._consumer, self._requests), hedge_after=self.hedge_after)
        replies = count_partitions(self._consumer, self._responses)
        partition = partition_for(self.client_id.encode(), replies) if wanted is None else wanted
        if not 0 <= partition < replies:
            raise ContractError(expected=f"a reply partition from 0 to {replies - 1}", got=str(partition), where="reply_partition")
        end = end_of(self._consumer, self._responses, partition)
        self._consumer.assign([TopicPartition(self._responses, partition, end)])
        return router, partition

    def feed(self, user_id: str, *, limit: int = 20, timeout: float | None = None) -> FeedResponse:
        """Ask for a feed and wait for it.

        Raises
        ------
        ContractError
            If the request does not fit its contract, or the system refused it.
        TransportError
            If no answer came in time.
        """
        return self.ask(FeedRequest(user_id=user_id, limit=limit), timeout=timeout)

    def ask(self, request: FeedRequest, *, timeout: float | None = None) -> FeedResponse:
        """Send a request and wait; raises as `feed` does."""
        return self.submit(request, timeout=timeout).result()

    async def ask_async(self, request: FeedRequest, *, timeout: float | None = None) -> FeedResponse:  # noqa: ASYNC109
        """Send a request and await its answer; raises as `feed` does."""
        loop = asyncio.get_running_loop()
        future = await loop.run_in_executor(None, lambda: self.submit(request, timeout=timeout))
        return await asyncio.wrap_future(future)

    def submit(self, request: FeedRequest, *, timeout: float | None = None) -> Future[FeedResponse]:
        """Send a request and return at once (unless `max_in_flight` are under way) with the future of its answer."""
        if self._closed.is_set():
            raise closed()
        allowed = self.timeout if timeout is None else timeout
        if not 0 < allowed < _LONGEST_S:
            raise ContractError(expected=f"more than 0 and less than {_LONGEST_S:g} s", got=f"{allowed}", where="timeout")
        checked = checked_request(request)
        if not self._places.acquire(timeout=allowed):
            raise TransportError(expected=f"at most {self.max_in_flight} requests in flight", got="no place in time", where="FeedClient")
        now = time.monotonic()
        pending = Pending(checked, Future(), now + allowed, int((time.time() + allowed) * 1000))
        # One who gives up waiting (asyncio.wait_for) must not cancel what the client's thread will settle.
        pending.future.set_running_or_notify_cancel()
        try:
            with self._lock:
                self._begin(str(checked.request_id), pending, now)
        except BaseException:
            self._places.release()
            raise
        return pending.future

    def _begin(self, request_id: str, pending: Pending, now: float) -> None:
        if self._closed.is_set():
            raise closed()
        if request_id in self._pending:
            raise ContractError(expected="a new request_id", got=f"{request_id}, which is under way", where="FeedRequest.request_id")
        self._send(request_id, pending, self._router.choose(pending.request.user_id, now), now)
        self._pending[request_id] = pending
        self.counts.sent += 1
        self._budget.earn(now)
        self._set_timer(min(now + self.hedge_after, pending.deadline), request_id)

    def _set_timer(self, at: float, request_id: str) -> None:
        self._timer_number += 1
        heapq.heappush(self._timers, (at, self._timer_number, request_id))

    def _send(self, request_id: str, pending: Pending, partition: int, now: float) -> None:
        fields = request_headers(
            request_id,
            reply_topic=self._responses,
            reply_partition=self.reply_partition,
            deadline_ms=pending.deadline_ms,
            attempt=len(pending.partitions) + 1,
        )
        try:
            self._producer.produce(
                self._requests, key=pending.request.user_id.encode(), value=encode(pending.request), partition=partition, headers=fields
            )
        except (BufferError, KafkaException) as error:
            raise TransportError(
                expected="a request taken by the client library", got=str(error), where=self._requests, do="run `penstock status`"
            ) from None
        pending.partitions.append(partition)
        self._router.sent(partition, request_id, now)

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                self._producer.poll(0)
                message = self._consumer.poll(self._patience())
                messages = [] if message is None else [message, *self._consumer.consume(256, 0)]
                for each in messages:
                    self._on_message(each)
                self._on_time(time.monotonic())
        except Exception:
            _log.exception("the client's thread ended by an error; its requests fail")
        finally:
            self._fail_all()

    def _fail_all(self) -> None:
        with self._lock:
            self._closed.set()
            left, self._pending = list(self._pending.values()), {}
        for pending in left:
            self._places.release()
            pending.future.set_exception(closed())

    def _patience(self) -> float:
        with self._lock:
            if not self._timers:
                return min(0.02, self.hedge_after)
            return min(max(self._timers[0][0] - time.monotonic(), 0.0), 0.02)

    def _on_message(self, message: Message) -> None:
        failure = message.error()
        if failure is not None:
            if not failure.retriable():
                _log.warning("reading %s failed: %s", self._responses, failure.str())
            return
        reply = reply_of(message)
        now = time.monotonic()
        with self._lock:
            pending = self._pending.get(reply.request_id)
            if pending is None:
                self._on_late(reply, now)
                return
            self._router.answered(pending.partitions[min(reply.attempt, len(pending.partitions)) - 1], reply.request_id, now)
            del self._pending[reply.request_id]
            if len(pending.partitions) > 1:
                self._hedged[reply.request_id] = pending
        self._places.release()
        if pending.settle(reply.value, requests=self._requests, responses=self._responses):
            self.counts.answered += 1

    def _on_late(self, reply: Reply, now: float) -> None:
        settled = self._hedged.get(reply.request_id)
        if settled is None:
            return
        self.counts.late += 1
        self._router.answered(settled.partitions[min(reply.attempt, len(settled.partitions)) - 1], reply.request_id, now)

    def _on_time(self, now: float) -> None:
        failed: list[Pending] = []
        with self._lock:
            while self._timers and self._timers[0][0] <= now:
                _, _, request_id = heapq.heappop(self._timers)
                pending = self._pending.get(request_id)
                owing = pending or self._hedged.get(request_id)
                if owing is None:
                    continue
                if now >= owing.deadline:
                    for partition in owing.partitions:
                        self._router.forget(partition, request_id)
                    self._hedged.pop(request_id, None)
                    if pending is not None:
                        del self._pending[request_id]
                        self.counts.unanswered += 1
                        failed.append(pending)
                elif pending is None:
                    self._set_timer(owing.deadline, request_id)
                else:
                    self._hedge(request_id, pending, now)
        for pending in failed:
            self._places.release()
            pending.future.set_exception(pending.unanswered(self._requests))

    def _hedge(self, request_id: str, pending: Pending, now: float) -> None:
        next_at = pending.deadline
        if len(pending.partitions) < self.max_attempts and not self._budget.spend():
            next_at = min(now + self.hedge_after, pending.deadline)
        elif len(pending.partitions) < self.max_attempts:
            try:
                self._send(request_id, pending, self._router.alternative(pending.partitions[-1]), now)
            except TransportError as error:
                _log.warning("a request was not sent again: %s", error)
            else:
                self.counts.hedged += 1
            if len(pending.partitions) < self.max_attempts:
                next_at = min(now + self.hedge_after * 2 ** (len(pending.partitions) - 1), pending.deadline)
        self._set_timer(next_at, request_id)

    def close(self) -> None:
        """Stop; requests still under way fail."""
        self._closed.set()
        if self._left.is_set():
            return
        self._left.set()
        self._thread.join(timeout=5)
        disconnect(self._producer, self._consumer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
