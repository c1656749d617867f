"""Unwraps the librdkafka error of an exception.

A source or sink raises ``schemas.errors.TransportError`` where retrying inside the client cannot heal a fault of the broker. The flow ends;
whoever supervises it starts it again, and it resumes from its last closed epoch.
"""

from confluent_kafka import KafkaError, KafkaException


def cause(exception: KafkaException) -> KafkaError:
    """Return the librdkafka error inside an exception of the client."""
    error = exception.args[0]
    if isinstance(error, KafkaError):
        return error
    return KafkaError(KafkaError._FAIL, str(error))
