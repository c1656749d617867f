"""The real services of one machine: an Apache Kafka broker and a Redis server, without Docker."""

from serving.local.home import Home
from serving.local.kafka import LocalKafka
from serving.local.redis import LocalRedis

__all__ = ["Home", "LocalKafka", "LocalRedis"]
