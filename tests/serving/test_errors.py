import pickle

import pytest

from serving.errors import ConfigError, ContractError, PenstockError, ServiceError, TransportError


def test_the_message_names_what_was_expected_got_where_and_what_to_do() -> None:
    error = ConfigError(expected="a port", got="'kafka'", where="--port", do="give a number")
    assert str(error) == "expected a port, got 'kafka', at --port; give a number"


def test_without_advice_the_message_ends_at_the_place() -> None:
    assert str(ServiceError(expected="a", got="b", where="c")) == "expected a, got b, at c"


@pytest.mark.parametrize("kind", [ConfigError, ContractError, ServiceError, TransportError])
def test_an_error_keeps_its_parts_between_processes(kind: type[PenstockError]) -> None:
    again = pickle.loads(pickle.dumps(kind(expected="a", got="b", where="c", do="d")))
    assert type(again) is kind
    assert (again.expected, again.got, again.where, again.do) == ("a", "b", "c", "d")
