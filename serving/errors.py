"""The errors that a caller of serving meets; the whole tree is drawn in :mod:`schemas.errors`."""

from __future__ import annotations

from schemas.errors import ConfigError, ContractError, PenstockError, ServiceError, TransportError, kind_of

__all__ = ["ConfigError", "ContractError", "PenstockError", "RequestRefused", "ServiceError", "TransportError", "kind_of"]


class RequestRefused(ContractError):
    """The system answered a request with an error.

    Parameters
    ----------
    code : str
        Why, as docs/contracts.md lists it.
    path : str
        The field or header that it is about.
    expected, got, where, do : str
        As of every error.
    """

    def __init__(self, *, code: str, path: str, expected: str, got: str, where: str, do: str = "") -> None:
        self.code = code
        self.path = path
        super().__init__(expected=expected, got=got, where=where, do=do)
