import os
import signal
from collections.abc import Iterator

import pytest

from dataflows.kafka import Shutdown


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    # A shell starts its background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_requests_the_end(number: signal.Signals) -> None:
    shutdown = Shutdown().on_signals()
    assert not shutdown.requested
    os.kill(os.getpid(), number)
    assert shutdown.requested


def test_a_second_interrupt_interrupts_and_a_second_terminate_does_not() -> None:
    shutdown = Shutdown().on_signals()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert shutdown.requested
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
