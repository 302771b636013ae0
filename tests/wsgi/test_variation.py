"""The one value in which header blocks differ."""

from __future__ import annotations

import pytest

from greenworld.wsgi.variation import Variation, find_variation

LINES = [b"Host: a", b"Cookie: one", b"Accept: *"]


@pytest.mark.parametrize("number", range(3))
def test_one_value(number: int) -> None:
    old = list(LINES)
    old[number] = old[number].partition(b":")[0] + b":other"
    variation = find_variation(old, LINES)
    raw = b"\r\n".join(LINES)
    assert variation is not None
    name, _, value = LINES[number].partition(b":")
    assert variation.name == name
    assert variation.value_in(raw) == value
    assert variation.before + value + variation.after == raw


@pytest.mark.parametrize(
    "old",
    [
        LINES,
        LINES[:2],
        [*LINES, b"X: y"],
        [b"Host: b", b"Cookie: two", b"Accept: *"],
        [b"Host: a", b"cookie: one", b"Accept: *"],
        [b"Host: a", b"Cookies: one", b"Accept: *"],
        [b"Host: a", b"Cookie", b"Accept: *"],
    ],
)
def test_anything_else(old: list[bytes]) -> None:
    assert find_variation(old, LINES) is None


def test_a_line_without_a_colon() -> None:
    assert find_variation([b"a"], [b"b"]) is None


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"Host: a\r\nCookie:\r\nAccept: *", b""),
        (b"Host: a\r\nCookie: \xff\0\r\nAccept: *", b" \xff\0"),
        (b"Host: a\r\nCookie: 1\r\nX: y\r\nAccept: *", None),
        (b"Host: a\r\nCookie: 1\r\n\r\nAccept: *", None),
        (b"Host: a\r\nCookie\r\nAccept: *", None),
        (b"Host: a\r\nCookie: 1\r\nAccept: *\r\n", None),
        (b"Host: b\r\nCookie: 1\r\nAccept: *", None),
        (b"Host: a\r\nCookie:", None),
        (b"", None),
    ],
)
def test_what_stands_between(raw: bytes, value: bytes | None) -> None:
    variation = find_variation([b"Host: a", b"Cookie: two", b"Accept: *"], LINES)
    assert variation is not None
    assert variation.value_in(raw) == value


def test_the_two_sides_do_not_overlap() -> None:
    variation = Variation(b"A: b\r\nC:", b":\r\nD: e", b"C")
    assert variation.value_in(b"A: b\r\nC:\r\nD: e") is None
