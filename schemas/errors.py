"""The one error tree of Penstock.

::

    PenstockError
    ├── ConfigError               a setting, a file or a command line is wrong: whoever wrote it can mend it
    │   └── TopicMissing          the cluster has no such topic
    ├── ContractError             bytes, a message or an operator do not keep their contract
    │   ├── ArtifactError         announced files are not there, are others, or cannot be loaded
    │   ├── DecodeError           a record does not fit its message
    │   ├── RecordingError        a folder is no recording that can be replayed
    │   ├── Refused               the feed of today would not take a recorded request
    │   ├── RequestRefused        the system answered a request with an error: its code and path are named
    │   ├── SegmentError          a segment cannot be built, or its files do not hold what was announced
    │   ├── TokenError            a token says nothing that can be trusted
    │   └── _Unreadable           a batch cannot even be taken apart
    ├── NotReproducible           a recording does not hold what an answer depended on
    ├── ServiceError              a broker, a store or a local process did not do its work
    │   ├── CheckpointError       an object of a checkpoint is gone or damaged
    │   ├── JournalError          the files of a journal are not those that a snapshot names
    │   └── StoreError            Redis did not answer, or refused
    └── TransportError            a request or a record did not reach its peer, or not in time

Every message has one form, ``expected X, got Y, at Z; do W``, and every part of it can be read back by name.
"""

from __future__ import annotations


class PenstockError(Exception):
    """Something that was expected did not happen.

    Parameters
    ----------
    expected : str
        What would have been right.
    got : str
        What was there instead.
    where : str
        The file, setting, topic or address that this is about.
    do : str
        The next step for the person who reads it; left out when empty.

    Examples
    --------
    >>> print(ServiceError(expected="a broker", got="no answer", where="127.0.0.1:9092", do="run `penstock up`"))
    expected a broker, got no answer, at 127.0.0.1:9092; run `penstock up`
    """

    def __init__(self, *, expected: str, got: str, where: str, do: str = "") -> None:
        self.expected = expected
        self.got = got
        self.where = where
        self.do = do
        message = f"expected {expected}, got {got}, at {where}"
        super().__init__(f"{message}; {do}" if do else message)

    @property
    def kind(self) -> str:
        """What happened, without where: errors of one kind can be counted together."""
        return f"expected {self.expected}, got {self.got}"

    def __reduce__(self) -> tuple[object, ...]:
        """Let the error travel between processes although its parts are keyword-only."""
        return (_rebuild, (type(self), self.args, self.__dict__))


class ConfigError(PenstockError):
    """A setting, a file or a command line is wrong."""


class ContractError(PenstockError):
    """Bytes, a message or an operator do not keep their contract."""


class ServiceError(PenstockError):
    """A broker, a store or a local process did not do its work."""


class TransportError(PenstockError):
    """A request or a record did not reach its peer, or not in time."""


def kind_of(error: BaseException) -> str:
    """Return what kind of error this is, in words that many errors share.

    >>> kind_of(TransportError(expected="an answer", got="none", where="request 17")), kind_of(ValueError("request 17"))
    ('expected an answer, got none', 'ValueError')
    """
    return error.kind if isinstance(error, PenstockError) else type(error).__name__


def _rebuild(kind: type[PenstockError], args: tuple[str, ...], parts: dict[str, object]) -> PenstockError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(parts)
    return error
