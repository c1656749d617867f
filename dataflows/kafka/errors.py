"""What a Kafka source or sink raises when the broker cannot give or take what it must."""

from confluent_kafka import KafkaError, KafkaException


class TransportError(RuntimeError):
    """A broker fault that retrying inside the client cannot heal.

    The flow ends; whoever supervises it starts it again, and it resumes from its last closed epoch.
    """


def cause(exception: KafkaException) -> KafkaError:
    """Return the librdkafka error inside an exception of the client."""
    error = exception.args[0]
    if isinstance(error, KafkaError):
        return error
    return KafkaError(KafkaError._FAIL, str(error))
