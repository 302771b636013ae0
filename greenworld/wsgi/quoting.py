"""Escapes what a client chose, for a field of a log. A leaf: imports nothing of the package."""

from __future__ import annotations

import re

__all__ = ["quote"]

_UNSAFE = re.compile(r"[^ !#-\[\]-~]")


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in '"\\':
        return "\\" + char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def quote(text: str) -> str:
    """Escape what could end a quoted field of the log or a line of it; the result is ASCII."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text  # nearly always, and much faster than looking with a pattern
    return _UNSAFE.sub(_escape, text)
