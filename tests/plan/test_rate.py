"""Rates: what they are written as, and that no stretch of time ever has more in it than they allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.plan.rate import Rate, Verdict, Window, parse_rates, parse_window

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "rates", "said"),
    [
        ("", [], []),
        ("10/minute", [Rate(10, 60)], ["10 in a minute"]),
        (" 10 / minutes,100/hour ", [Rate(10, 60), Rate(100, 3_600)], ["10 in a minute", "100 in an hour"]),
        ("5/15 minutes", [Rate(5, 900)], ["5 in 15 minutes"]),
        ("1/second, 7/2 days", [Rate(1, 1), Rate(7, 172_800)], ["1 in a second", "7 in 2 days"]),
    ],
)
def test_a_rate_is_written_as_one_says_it(text: str, rates: list[Rate], said: list[str]) -> None:
    assert list(parse_rates(text)) == rates
    assert [rate.sentence for rate in rates] == said
    assert list(parse_rates(", ".join(map(str, rates)))) == rates


@pytest.mark.parametrize(
    "text", ["10", "0/minute", "-1/minute", "10/fortnight", "ten/minute", "10/0 minutes", "1.5/day"]
)
def test_what_is_no_rate_is_told_how_to_be_one(text: str) -> None:
    with pytest.raises(ValueError, match='Write "10/minute"'):
        parse_rates(text)


def test_a_window_lets_in_so_many_and_says_when_the_next() -> None:
    rate, window = Rate(3, 60), Window()
    for second, left in ((0, 2), (10, 1), (20, 0)):
        window, verdict = window.charge(rate, 1, second * SECOND)
        assert verdict == Verdict(True, left)
    assert window.charge(rate, 1, 30 * SECOND) == (window, Verdict(False, 0, 30.0))
    assert window.charge(rate, 2, 30 * SECOND)[1] == Verdict(False, 0, 40.0)
    after, verdict = window.charge(rate, 1, 60 * SECOND)
    assert (verdict, after.marks[0]) == (Verdict(True, 0), (10 * SECOND, 1))
    assert window.charge(rate, 1, 59_999_999)[1] == Verdict(False, 0, 1e-6)


def test_a_clock_that_is_set_back_keeps_nobody_out_for_longer_than_the_rate() -> None:
    rate, window = Rate(1, 60), Window()
    window, _ = window.charge(rate, 1, 10_000 * SECOND)
    assert window.charge(rate, 1, 100 * SECOND)[1] == Verdict(False, 0, 60.0)
    assert window.charge(rate, 1, 10_060 * SECOND)[1].allowed


def test_a_window_is_a_text_and_back() -> None:
    window = Window(((1, 2), (30, 4)))
    assert (str(window), parse_window(str(window))) == ("1:2 30:4", window)
    assert parse_window("") == Window()


CHARGES = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 3)), max_size=400)


@given(st.integers(1, 150), st.integers(1, 20), CHARGES)
def test_no_stretch_of_time_has_more_in_it_than_the_rate(
    times: int, seconds: int, steps: list[tuple[int, int]]
) -> None:
    """Against the naive answer: remember all, and add up what is younger than the rate is long."""
    rate, window, now, kept = Rate(times, seconds), Window(), 0, []
    for step, units in steps:
        now += step // max(1, times // 10)
        window, verdict = window.charge(rate, units, now)
        inside = sum(used for at, used in kept if at > now - seconds * SECOND)
        if verdict.allowed:
            assert inside + units <= times
            kept.append((now, units))
        else:
            # Refused only where it is full, but for what one slot of many may hold back a little longer.
            slot = seconds * SECOND // 64 + 1
            held = sum(used for at, used in kept if at > now - seconds * SECOND - slot)
            assert held + units > times
            _, later = window.charge(rate, units, now + round(verdict.wait * SECOND) + 1)
            assert later.allowed or units > times
        assert len(window.marks) <= 64 + 65


@pytest.mark.parametrize("times", [70, 100, 1_000])
def test_a_steady_stream_below_the_rate_is_never_refused(times: int) -> None:
    rate, window = Rate(times, 60), Window()
    step = 60 * SECOND * 64 // (times * 62)  # a thirtieth below it
    for number in range(3 * times):
        window, verdict = window.charge(rate, 1, number * step)
        assert verdict.allowed
