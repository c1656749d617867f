"""Kafka in and out of a flow: batches from owned partitions, requests from a consumer group, acknowledged output."""

from dataflows.kafka.batch import Batch, Offsets, RequestBatch, SideBatch
from dataflows.kafka.clients import Properties
from dataflows.kafka.errors import TransportError
from dataflows.kafka.group import GroupSource
from dataflows.kafka.shutdown import Shutdown
from dataflows.kafka.sink import KafkaSink, Outgoing, send
from dataflows.kafka.source import KafkaSource
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
    "SideBatch",
    "TransportError",
    "partition_for",
    "send",
]
