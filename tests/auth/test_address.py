"""One address has one form, and what only looks like an address is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.auth.address import canonical_address
from backstay.model.value import Unfit


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        ("ada@example.com", "ada@example.com"),
        ("\tAda.Lovelace+Shop@EXAMPLE.Com \n", "ada.lovelace+shop@example.com"),
        ("ＡＤＡ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ada@example.com"),
        ("\u212aai@example.com", "kai@example.com"),  # the sign for Kelvin
        ("stra\u00dfe@example.com", "strasse@example.com"),
        ("e\u0301ve@example.com", "\u00e9ve@example.com"),
        ("\ufb01nn@example.com", "finn@example.com"),  # a ligature
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
    ],
)
def test_the_form_of_an_address(raw: str, form: str) -> None:
    assert canonical_address(raw) == form


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("", "bad_format"), ("ada", "bad_format"), ("ada@example", "bad_format"), ("@example.com", "bad_format"),
        ("ada@@example.com", "bad_format"), ("a da@example.com", "bad_format"),
        ("ada@example.com,b@b.de", "bad_format"),
        ("ada@b\u00fccher.example", "bad_format"), ("ada@ex\u0430mple.com", "bad_format"),
        ("ada@-example.com", "bad_format"), ("ada@example..com", "bad_format"), ("ada@example.com\u3002", "bad_format"),
        ("a\u200bda@example.com", "bad_character"), ("a\u00adda@example.com", "bad_character"),
        ("a\u202eda@example.com", "bad_character"), ("ada\x00@example.com", "bad_character"),
        ("ada\ud800@example.com", "bad_character"), ("a" * 250 + "@b.de", "too_long"), (None, "wrong_type"),
    ],
)  # fmt: skip
def test_what_is_no_address(raw: object, code: str) -> None:
    with pytest.raises(Unfit) as caught:
        canonical_address(raw)
    assert caught.value.code == code


@given(st.text(min_size=1, max_size=20))
def test_the_form_of_the_form_is_itself(local: str) -> None:
    try:
        form = canonical_address(f"{local}@example.com")
    except Unfit:
        return
    for twin in (form, form.upper(), form.swapcase(), f" {form} "):
        try:
            assert canonical_address(twin) in (form, canonical_address(twin.casefold()))
        except Unfit:
            assert twin != form
    assert canonical_address(form) == form
