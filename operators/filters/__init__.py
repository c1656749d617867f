"""Filters: what may not be shown, each with its reason."""

from operators.filters.blocked import HiddenByPerson, Moderated
from operators.filters.eligibility import AboveAge, OtherLanguage, OtherRegion
from operators.filters.listed import NotAvailable, NotInCatalogue
from operators.filters.seen import AlreadySeen
from operators.filters.session import ServedLastPage, ServedThisSession

__all__ = [
    "AboveAge",
    "AlreadySeen",
    "HiddenByPerson",
    "Moderated",
    "NotAvailable",
    "NotInCatalogue",
    "OtherLanguage",
    "OtherRegion",
    "ServedLastPage",
    "ServedThisSession",
]
