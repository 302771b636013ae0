"""Header blocks of one connection that differ in one value: finds it, and cuts it out again.

Functions on bytes, for `environ`: what is not looked at again in the next block is byte for byte
what was checked in the last one.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Variation", "find_variation"]


class Variation(NamedTuple):
    """The value of one line that varies, as what stands around it in the block."""

    before: bytes
    """Everything up to the line's colon."""
    after: bytes
    """Everything from the line's end on."""
    name: bytes
    """The line's name, as it is written."""

    def value_in(self, raw: bytes) -> bytes | None:
        """Return the value in a block that differs in nothing else; None for all other blocks."""
        before, after, _ = self
        end = len(raw) - len(after)
        if end < len(before) or not (raw.startswith(before) and raw.endswith(after)):
            return None
        value = raw[len(before) : end]
        return None if b"\r\n" in value else value  # else it would be several lines


def find_variation(old: list[bytes], new: list[bytes]) -> Variation | None:
    """Return how two blocks, each as its lines, differ, if it is in the value of one line."""
    if len(old) != len(new):
        return None
    changed = -1
    for number, pair in enumerate(zip(old, new, strict=True)):
        if pair[0] != pair[1]:
            if changed >= 0:
                return None
            changed = number
    name, colon, _ = new[changed].partition(b":")
    if changed < 0 or not colon or not old[changed].startswith(name + colon):
        return None
    before = b"".join(line + b"\r\n" for line in new[:changed]) + name + colon
    after = b"".join(b"\r\n" + line for line in new[changed + 1 :])
    return Variation(before, after, name)
