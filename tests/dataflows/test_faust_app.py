from __future__ import annotations

from pathlib import Path

import faust
import pytest
from pydantic import SecretStr

from dataflows.catalog import CatalogFlow
from dataflows.faust_app import credentials, make_app
from dataflows.part import Part
from schemas.dlq import LARGEST_LETTER
from schemas.settings import Settings


def test_a_plain_connection_has_no_credentials() -> None:
    assert credentials(Settings()) is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_sasl_settings_reach_faust(mechanism: str) -> None:
    settings = Settings.model_validate(
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism, "sasl_username": "ada", "sasl_password": SecretStr("secret")}
    )
    found = credentials(settings)
    assert isinstance(found, faust.SASLCredentials)
    assert (found.mechanism.value, found.username, found.password, found.ssl_context) == (mechanism, "ada", "secret", None)
    assert found.protocol.value == "SASL_PLAINTEXT"


def test_tls_checks_the_broker_with_and_without_a_password() -> None:
    with_password = credentials(Settings(security_protocol="SASL_SSL", sasl_username="ada", sasl_password=SecretStr("secret")))
    assert isinstance(with_password, faust.SASLCredentials)
    assert with_password.protocol.value == "SASL_SSL"
    alone = credentials(Settings(security_protocol="SSL"))
    assert isinstance(alone, faust.SSLCredentials)
    for context in (with_password.ssl_context, alone.context):
        assert context is not None
        assert context.check_hostname


def test_a_certificate_authority_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        credentials(Settings(security_protocol="SSL", ssl_ca_location=tmp_path / "none.pem"))


def test_the_producer_takes_the_largest_dead_letter(tmp_path: Path) -> None:
    app = make_app(Part("catalog", Settings(home=tmp_path)))
    assert app.conf.producer_max_request_size == LARGEST_LETTER


def test_topics_of_tables_need_no_acknowledgement_so_that_their_silence_is_no_error(tmp_path: Path) -> None:
    flow = CatalogFlow(Part("catalog", Settings(home=tmp_path)))
    assert [table.changelog_topic.acks for table in (flow.vectors, flow.segments.announced)] == [False, False]
    assert flow.items.acks
