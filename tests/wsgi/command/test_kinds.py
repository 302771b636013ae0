"""How each kind of value is read, from text and from TOML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from greenworld.wsgi.command.kinds import (
    Choice,
    Count,
    Hosts,
    Kind,
    Many,
    Seconds,
    Size,
    Switch,
    Text,
    show,
)

MAYBE = Count(optional=True)
PATH = Text("PATH", True, "/[a-z]*", "a path")
COLOURS = Choice(choices=("red", "green"))


def is_refused(read: Callable[[Any], Any], value: object) -> bool:
    """Whether it raises ValueError, which has no text: `expected` has it."""
    try:
        read(value)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Seconds(), "30", 30.0),
        (Seconds(), "0.5", 0.5),
        (Seconds(zero=True), "0", 0.0),
        (Seconds(optional=True), "none", None),
        (Count(), "1", 1),
        (Count(least=0), "0", 0),
        (MAYBE, "NONE", None),
        (Size(), "65536", 65536),
        (Size(), "64K", 65536),
        (Size(), "64k", 65536),
        (Size(), "1M", 1 << 20),
        (Size(), "2GiB", 2 << 30),
        (Size(), "7B", 7),
        (Size(optional=True), "none", None),
        (COLOURS, "red", "red"),
        (Switch(), "1", True),
        (Switch(), "Yes", True),
        (Switch(), "off", False),
        (Text(), "none", "none"),
        (Text(), "two\nlines", "two\nlines"),
        (PATH, "/a", "/a"),
        (PATH, "none", None),
        (Text(optional=True), "none", None),
        (Many(), "a", ("a",)),
        (Many(), " a, b,,", ("a", "b")),
        (Many(), "none", ()),
        (Many(choices=("a", "b")), "b", ("b",)),
        (Hosts(), "a=c.pem,*.b=c.pem:k.pem", ("a=c.pem", "*.b=c.pem:k.pem")),
    ],
)
def test_texts(kind: Kind, text: str, value: Any) -> None:
    found = kind.from_text(text)
    assert found == value
    assert type(found) is type(value)
    if text != "7B" and not isinstance(kind, Switch):
        assert kind.from_toml(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((Seconds(), text) for text in ("", "x", "0", "-1", "inf", "nan", "5s", "none")),
        *((Count(), text) for text in ("", "0", "-1", "+1", "1.5", "1_0", "٣", "9" * 19, "none")),
        *((Size(), text) for text in ("", "0", "K", "-1K", "1.5K", "1T", "1 K", "9" * 19)),
        *((COLOURS, text) for text in ("", "blue", "Red", "none")),
        *((Switch(), text) for text in ("", "2", "maybe", "none")),
        (Text(), ""),
        *((PATH, text) for text in ("", "a", "/A", "/a\n")),
        *((Many(), text) for text in ("", " , ")),
        (Many(choices=("a", "b")), "a,c"),
        *((Hosts(), text) for text in ("a", "=c", "a=", "a=:k", "a=c,b")),
    ],
)
def test_texts_that_are_none(kind: Kind, text: str) -> None:
    assert is_refused(kind.from_text, text)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (Seconds(), 3, 3.0),
        (Seconds(), 0.5, 0.5),
        (Count(), 3, 3),
        (Size(), 3, 3),
        (Switch(), True, True),
        (Many(), ["a", "b,c"], ("a", "b,c")),
        (Many(), [], ()),
        (Hosts(), {"a": "c", "b": "c:k"}, ("a=c", "b=c:k")),
    ],
)
def test_toml(kind: Kind, given: object, value: Any) -> None:
    found = kind.from_toml(given)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        *((Seconds(), given) for given in (0, -1, True, [1], float("nan"))),
        *((Count(), given) for given in (0, True, 1.0, [1])),
        *((Size(), given) for given in (0, True, 1.0)),
        *((Switch(), given) for given in (1, "yes", "true")),
        *((Text(), given) for given in (1, True, ["a"], "")),
        *((Many(), given) for given in (1, ["a", 1], [""], {"a": "b"})),
        (Many(choices=("a",)), ["b"]),
        *((Hosts(), given) for given in (["a"], {"a": ""}, {"": "c"})),
    ],
)
def test_toml_of_another_kind(kind: Kind, given: object) -> None:
    assert is_refused(kind.from_toml, given)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Seconds(), "a number of seconds, more than 0, such as 30 or 0.5"),
        (Seconds(zero=True), "a number of seconds, 0 or more, such as 30 or 0.5"),
        (MAYBE, "a whole number of at least 1, or 'none'"),
        (Size(least=0), "a number of bytes of at least 0, such as 65536, 64K or 1G"),
        (COLOURS, "one of 'red', 'green'"),
        (Switch(), "true or false (also 1 or 0, yes or no, on or off)"),
        (Text(), "a text that is not empty"),
        (PATH, "a path, or 'none'"),
        (Many(choices=("a", "b")), "a list of a, b, or 'none'"),
    ],
)
def test_what_a_message_asks_for(kind: Kind, expected: str) -> None:
    assert kind.expected == expected


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (Seconds(), 30.0, "30"),
        (Seconds(), 1234567.5, "1234567.5"),
        (Size(), 65536, "64K"),
        (Size(), 1 << 30, "1G"),
        (Size(), 8190, "8190"),
        (Size(least=0), 0, "0"),
        (Count(), 1024, "1024"),
        (MAYBE, None, "none"),
        (Switch(), True, "on"),
        (Switch(), False, "off"),
        (Many(), (), "none"),
        (Many(), ("a", "b"), "a,b"),
    ],
)
def test_a_value_is_shown_as_it_is_given(kind: Kind, value: Any, shown: str) -> None:
    assert show(kind, value) == shown
    assert kind.from_text(shown) == value
