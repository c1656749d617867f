"""The KuaiRand short-video log: read a folder, turn its rows into messages, pick the rows that a score is made of."""

from serving.kuairand.log import Catalogue, Histories, KuaiRandLog, read_folder
from serving.kuairand.protocol import ranked_rows, request_id_for, row_of
from serving.kuairand.publications import Publication, Schedule, before_the_stream, schedule

__all__ = [
    "Catalogue",
    "Histories",
    "KuaiRandLog",
    "Publication",
    "Schedule",
    "before_the_stream",
    "ranked_rows",
    "read_folder",
    "request_id_for",
    "row_of",
    "schedule",
]
