"""A message is genuine only under a secret, with the bytes that were signed, near the instant when it was."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta

import pytest

from backstay.commerce.payments.port import NotGenuine
from backstay.commerce.payments.signature import check_signature, sign

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
BODY, SECRET = b'{"id": "evt_1"}', b"whsec_1"
GOOD = sign(BODY, SECRET, AT)


def test_it_is_what_stripe_documents() -> None:
    """`t`, a point and the body, HMAC-SHA-256, in hex (https://docs.stripe.com/webhooks#verify-manually)."""
    instant = str(int(AT.timestamp()))
    made = hmac.new(SECRET, f"{instant}.".encode() + BODY, "sha256").hexdigest()
    assert f"t={instant},v1={made}" == GOOD
    check_signature(GOOD, BODY, [SECRET], AT)
    check_signature(f"{GOOD},v0=ignored", BODY, [SECRET], AT)


@pytest.mark.parametrize("secrets", [[], [b""], [b"", SECRET], [SECRET, b""]])
def test_without_a_secret_nothing_is_genuine(secrets: list[bytes]) -> None:
    """`secret or ""` would let everybody sign: the key of this message is the empty one."""
    instant = str(int(AT.timestamp()))
    forged = f"t={instant},v1={hmac.new(b'', f'{instant}.'.encode() + BODY, 'sha256').hexdigest()}"
    for header in (forged, GOOD):
        with pytest.raises(NotGenuine) as raised:
            check_signature(header, BODY, secrets, AT)
        assert raised.value.reason == "there is no secret to check it with"
    with pytest.raises(ValueError, match="without a secret"):
        sign(BODY, b"", AT)


def test_a_secret_can_be_exchanged() -> None:
    check_signature(GOOD, BODY, [b"whsec_2", SECRET], AT)
    both = f"{sign(BODY, b'whsec_2', AT)},v1={GOOD.partition('v1=')[2]}"
    check_signature(both, BODY, [SECRET], AT)


@pytest.mark.parametrize(
    "header",
    [
        "", "t=1", "v1=ab", GOOD.replace("t=", "t=-"), GOOD.replace("t=", "t= "), f"t=1,{GOOD}", f"{GOOD},t=1",
        GOOD.replace("v1", "v2"), GOOD[:-1], GOOD + "0", GOOD.replace("v1=", "v1=ä"), GOOD.upper(),
        "t=99999999999999999999,v1=ab",
    ],
)  # fmt: skip
def test_another_form_is_not_genuine(header: str) -> None:
    with pytest.raises(NotGenuine):
        check_signature(header, BODY, [SECRET], AT)


def test_no_change_of_one_character_is_genuine() -> None:
    header, body = GOOD.encode(), BODY
    for original, place in ((header, "header"), (body, "body")):
        for at in range(len(original)):
            for changed in (
                original[:at] + original[at + 1 :],
                original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :],
            ):
                given, signed = (changed, body) if place == "header" else (header, changed)
                with pytest.raises(NotGenuine):
                    check_signature(given.decode("latin-1"), signed, [SECRET], AT)


def test_another_body_or_secret_is_not_genuine() -> None:
    for body, secret in ((BODY + b" ", SECRET), (BODY, b"whsec_2"), (b"", SECRET)):
        with pytest.raises(NotGenuine) as raised:
            check_signature(GOOD, body, [secret], AT)
        assert raised.value.reason == "its signature is another one"


@pytest.mark.parametrize(("seconds", "good"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_it_is_good_for_five_minutes(seconds: int, good: bool) -> None:
    now = AT + timedelta(seconds=seconds)
    if good:
        check_signature(GOOD, BODY, [SECRET], now)
    else:
        with pytest.raises(NotGenuine):
            check_signature(GOOD, BODY, [SECRET], now)


def test_what_is_wrong_is_told_to_the_log_alone() -> None:
    problem = NotGenuine("its signature is another one")
    assert (problem.status, problem.code) == (400, "webhook_not_genuine")
    assert "signature is another" not in f"{problem.detail} {problem}"


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    check_signature(f"{GOOD},v1={'0' * 64}", BODY, [SECRET, b"whsec_2"], AT)
    assert len(compared) == 4  # each with each, also after one of them fits
