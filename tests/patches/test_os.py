"""The explicit module `greenworld.patches.os`, and the patched `os` of a whole program."""

from __future__ import annotations

import os as stdlib_os
from collections.abc import Callable
from pkgutil import resolve_name

import pytest

from greenworld.patches import os
from greenworld.patches.table import PATCHES, Patch

Run = Callable[..., str]


def test_offers_every_name_of_the_original() -> None:
    names = [name for name in vars(stdlib_os) if not name.startswith("__")]
    assert [name for name in names if not hasattr(os, name)] == []
    assert set(os.__all__) == set(stdlib_os.__all__)
    assert os.environ is stdlib_os.environ


@pytest.mark.parametrize("patch", [each for each in PATCHES if each.module == "os"], ids=str)
def test_replacements_are_those_of_the_table(patch: Patch) -> None:
    if not hasattr(stdlib_os, patch.attribute):
        pytest.skip("this platform or release has no such function")
    assert getattr(os, patch.attribute) is resolve_name(patch.replacement)


def test_importing_it_patches_nothing(program: Run) -> None:
    out = program(
        """
import os as original
read = original.read
from greenworld.patches import os
print(original.read is read, os.read is read)
"""
    )
    assert out == "True False\n"


def test_names_copied_before_the_patch(program: Run) -> None:
    out = program(
        """
import os, threading
from os import read
import greenworld
greenworld.monkey_patch()
reading, writing = os.pipe()
got = []
threads = [threading.Thread(target=lambda: got.append(read(reading, 1))) for _ in range(3)]
for thread in threads: thread.start()
os.write(writing, b"abc")
for thread in threads: thread.join(20)
print(sorted(got), os.get_blocking(reading), os.get_blocking(writing))
greenworld.patches.undo()
print(read is os.read, read.__module__)
"""
    )
    assert out == "[b'a', b'b', b'c'] True True\nTrue posix\n"


def test_files_left_open_at_exit_are_flushed(program: Run) -> None:
    out = program(
        """
import os
import greenworld
greenworld.monkey_patch()
reading, writing = os.pipe()
if os.fork():
    os.close(reading)
    file = os.fdopen(writing, "w")
    file.write("unclosed")
else:
    os.close(writing)
    with os.fdopen(reading) as file:
        print(file.read(), flush=True)
    os._exit(0)
"""
    )
    assert out == "unclosed\n"
