"""Who a token belongs to, and what happens to those who guess."""

import hashlib
import hmac
import sys
from contextlib import suppress

import pytest

from candlecast.errors import TooManyAttempts, Unauthorized
from service.tokens import Callers, TokenGate


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _gate(clock: Clock, **known: str) -> TokenGate:
    return TokenGate({name: hashlib.sha256(token.encode()).hexdigest() for name, token in known.items()}, clock)


def _fail(gate: TokenGate, address: str, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Unauthorized):
            gate.caller("Bearer wrong", address)


def test_each_token_has_its_name() -> None:
    gate = _gate(Clock(), anna="a", bert="b")
    assert gate.caller("Bearer a", "::1") == "anna"
    assert gate.caller("bearer b", "::1") == "bert"


def test_a_wrong_token_is_compared_as_often_as_a_right_one() -> None:
    gate = _gate(Clock(), anna="a", bert="b", carl="c")
    counted = {token: _comparisons(gate, token) for token in ("a", "c", "d", "a much longer one than all of them")}
    assert counted == dict.fromkeys(counted, 3)


def _comparisons(gate: TokenGate, token: str) -> int:
    """Return how many digests are compared, in constant time each, before the gate has decided."""
    compared = 0

    def watch(_: object, event: str, what: object) -> None:
        nonlocal compared
        compared += event == "c_call" and what is hmac.compare_digest

    sys.setprofile(watch)
    try:
        with suppress(Unauthorized):
            gate.caller(f"Bearer {token}", "10.0.0.1")
    finally:
        sys.setprofile(None)
    return compared


def test_ten_wrong_tokens_close_an_address_for_a_minute_whatever_it_guesses_then() -> None:
    clock = Clock()
    gate = _gate(clock, anna="a")
    _fail(gate, "10.0.0.1", 10)
    clock.now += 20
    with pytest.raises(TooManyAttempts, match="in 40 seconds") as caught:
        gate.caller("Bearer a", "10.0.0.1")
    assert caught.value.retry_after == 40
    _fail(gate, "10.0.0.2", 1)
    clock.now += 40
    assert gate.caller("Bearer a", "10.0.0.1") == "anna"


def test_who_shares_the_address_of_a_guesser_is_not_shut_out() -> None:
    gate = _gate(Clock(), anna="a", bert="b")
    gate.caller("Bearer a", "10.0.0.1")
    _fail(gate, "10.0.0.1", 10)
    assert gate.caller("Bearer a", "10.0.0.1") == "anna"
    for token in ("wrong", "b"):
        with pytest.raises(TooManyAttempts):
            gate.caller(f"Bearer {token}", "10.0.0.1")


def test_guesses_while_an_address_is_closed_close_it_no_longer() -> None:
    clock = Clock()
    gate = _gate(clock, anna="a")
    _fail(gate, "10.0.0.1", 10)
    for _ in range(20):
        with pytest.raises(TooManyAttempts):
            gate.caller("Bearer wrong", "10.0.0.1")
    clock.now += 60
    _fail(gate, "10.0.0.1", 1)


def test_failures_that_are_a_minute_apart_close_nothing() -> None:
    clock = Clock()
    gate = _gate(clock, anna="a")
    for _ in range(3):
        _fail(gate, "10.0.0.1", 9)
        clock.now += 61


def test_who_sends_no_token_does_not_guess() -> None:
    gate = _gate(Clock(), anna="a")
    for header in (None, "", "Bearer", "Basic a") * 10:
        with pytest.raises(Unauthorized):
            gate.caller(header, "10.0.0.1")
    _fail(gate, "10.0.0.1", 1)


def test_half_of_an_ipv6_address_is_the_callers_to_choose() -> None:
    gate = _gate(Clock(), anna="a")
    for last in range(10):
        _fail(gate, f"2001:db8::{last}", 1)
    with pytest.raises(TooManyAttempts):
        gate.caller("Bearer wrong", "2001:db8::ffff")
    _fail(gate, "2001:db8:0:1::1", 1)


def test_memory_of_callers_is_bounded() -> None:
    callers = Callers(Clock(), most=5)
    for last in range(100):
        callers.let_pass(f"10.0.0.{last}", "anna")
        for _ in range(100):
            callers.refuse(f"10.0.0.{last}")
    assert len(callers) == 5
    assert callers.wait("10.0.0.99") == 60
    assert callers.wait("10.0.0.99", "anna") == 0
    assert callers.wait("10.0.0.0") == 0
