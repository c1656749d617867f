from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.tokens import TokenClaims, TokenError, sign, sign_page, verify
from schemas.telemetry import MAX_TOKEN

SECRET = b"0123456789abcdef0123456789abcdef"
CLAIMS = TokenClaims("request-1", "video-1", 3, 1_651_000_000_000, 0.05, "thompson", "online-12")


def raw(token: str) -> bytes:
    return urlsafe_b64decode(token + "=" * (-len(token) % 4))


def spell(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@given(
    st.builds(
        TokenClaims,
        request_id=st.text(min_size=1, max_size=40),
        video_id=st.text(min_size=1, max_size=40),
        position=st.integers(0, 99),
        now_ms=st.integers(0, 32_503_680_000_000),
        propensity=st.floats(0, 1),
        policy=st.text(max_size=10),
        model_version=st.text(max_size=10),
    )
)
def test_a_token_says_what_was_signed(claims: TokenClaims) -> None:
    token = sign(SECRET, claims)
    assert token == "" or verify(SECRET, token) == claims


def test_any_changed_bit_makes_a_token_forged() -> None:
    data = raw(sign(SECRET, CLAIMS))
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TokenError) as error:
            verify(SECRET, spell(bytes(changed)))
        assert error.value.code == "forged"


def test_a_token_of_another_secret_is_forged() -> None:
    with pytest.raises(TokenError, match="forged"):
        verify(b"another secret of length", sign(SECRET, CLAIMS))


@pytest.mark.parametrize("token", ["", "a", "abcd", "no token!", "ünïcode", "AA+A" * 20, "AA/A" * 20, "A" * 21, "=" * 40, "A" * 20 + "\n"])
def test_what_is_no_token_is_malformed(token: str) -> None:
    with pytest.raises(TokenError) as error:
        verify(SECRET, token)
    assert error.value.code == "malformed"


@given(st.text(max_size=600))
def test_any_text_is_either_forged_or_malformed(text: str) -> None:
    with pytest.raises(TokenError):
        verify(SECRET, text)


def test_a_page_is_signed_as_its_items_one_by_one() -> None:
    videos, propensities = [f"v{i}" for i in range(100)], [1 / (i + 1) for i in range(100)]
    tokens = sign_page(
        SECRET, request_id="r", video_ids=videos, now_ms=5, propensities=propensities, policy="greedy", model_version="online-3"
    )
    assert tokens == [
        sign(SECRET, TokenClaims("r", video, place, 5, propensity, "greedy", "online-3"))
        for place, (video, propensity) in enumerate(zip(videos, propensities, strict=True))
    ]


def test_a_page_needs_a_propensity_for_each_item() -> None:
    with pytest.raises(ValueError, match="shorter"):
        sign_page(SECRET, request_id="r", video_ids=["a", "b"], now_ms=5, propensities=[1.0], policy="p", model_version="m")


def test_ids_of_the_greatest_ascii_length_fit_the_contract_and_longer_ones_are_served_untracked() -> None:
    longest = TokenClaims("r" * 128, "v" * 128, 99, 2**44, 0.001, "policy", "online-123456789")
    assert 0 < len(sign(SECRET, longest)) <= MAX_TOKEN
    assert sign(SECRET, TokenClaims("音" * 128, "音" * 128, 99, 2**44, 0.001, "policy", "m")) == ""


@pytest.mark.parametrize("length", [0, 15, 65])
def test_a_secret_of_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="expected a secret of 16 to 64 bytes"):
        sign(b"x" * length, CLAIMS)
