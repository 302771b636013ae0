"""What a client chose never ends a field or a line of a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenworld.wsgi.quoting import quote


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain /?a=b", "plain /?a=b"),
        ('"', r"\""),
        ("\\", r"\\"),
        ("a\nb\r\0\x7f", r"a\x0ab\x0d\x00\x7f"),
        ("\xe9\xff", r"\xe9\xff"),
        ("\t", r"\x09"),
        ("\u20ac", r"\u20ac"),
        ("\u2028", r"\u2028"),
    ],
)
def test_quote(text: str, quoted: str) -> None:
    assert quote(text) == quoted


@given(st.text())
def test_what_is_quoted_is_one_field_of_printable_text(text: str) -> None:
    quoted = quote(text)
    assert quoted.isascii()
    assert quoted.isprintable()
    assert '"' not in quoted.replace("\\\\", "").replace('\\"', "")
