"""Kafka in and out of a flow: batches from owned partitions, requests from a consumer group, acknowledged output."""

from dataflows.kafka.batch import Batch, Offsets, RequestBatch, SideBatch
from dataflows.kafka.clients import Properties
from dataflows.kafka.group import GroupSource
from dataflows.kafka.outgoing import Outgoing, outgoing_letter
from dataflows.kafka.shutdown import Shutdown
from dataflows.kafka.sink import KafkaSink, send
from dataflows.kafka.sizes import Sizes
from dataflows.kafka.source import KafkaSource
from schemas.errors import TransportError
from schemas.partition import partition_for

__all__ = [
    "Batch",
    "GroupSource",
    "KafkaSink",
    "KafkaSource",
    "Offsets",
    "Outgoing",
    "Properties",
    "RequestBatch",
    "Shutdown",
    "Sizes",
    "SideBatch",
    "TransportError",
    "outgoing_letter",
    "partition_for",
    "send",
]
