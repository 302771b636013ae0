"""Every row of the table."""

from __future__ import annotations

import ast
import importlib
import inspect
import select
import selectors
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest

import greenworld.hub
from greenworld.patches.table import GROUPS, OPTIONAL, PATCHES, SETTLERS, Patch

RELEASE_DEPENDENT = {
    "_thread.lock",
    "threading._LockType",
    "_thread._set_sentinel",
    "threading._set_sentinel",
    "threading._start_new_thread",
    "_thread.start_joinable_thread",
    "threading._start_joinable_thread",
    "_thread._ThreadHandle",
    "threading._ThreadHandle",
    "_thread._make_thread_handle",
    "threading._make_thread_handle",
    "_thread._get_main_thread_ident",
    "threading._get_main_thread_ident",
    "_thread._shutdown",
    "threading._thread_shutdown",
    "threading._thread_local_info",
    "subprocess._fork_exec",
    "asyncio.events.BaseDefaultEventLoopPolicy._Local",
    "asyncio.events._BaseDefaultEventLoopPolicy._Local",
}


def is_of_another_platform(patch: Patch) -> bool:
    """Whether it is about one of the kernel interfaces that this system lacks."""
    module = {"select": select, "selectors": selectors}.get(patch.module)
    return module is not None and not hasattr(module, patch.attribute.partition(".")[0])


@pytest.mark.parametrize("patch", PATCHES, ids=str)
def test_row(patch: Patch) -> None:
    assert patch.group in GROUPS + OPTIONAL
    if is_of_another_platform(patch):
        pytest.skip("this platform has no such thing")
    replacement = resolve_name(patch.replacement)
    assert callable(replacement) or inspect.getdoc(replacement) is not None
    if str(patch) in RELEASE_DEPENDENT:
        return
    if patch.module.partition(".")[0] not in sys.stdlib_module_names:
        pytest.importorskip(patch.module)
    owner = importlib.import_module(patch.module)
    assert resolve_name(f"{owner.__name__}:{patch.attribute}") is not None


def test_rows_are_unique() -> None:
    assert len({str(patch) for patch in PATCHES}) == len(PATCHES)


def test_settlers_exist() -> None:
    assert set(SETTLERS) <= {*GROUPS, *OPTIONAL}
    for settler in SETTLERS.values():
        assert callable(resolve_name(settler))


def test_public_replacements_are_documented() -> None:
    for patch in PATCHES:
        if not is_of_another_platform(patch):
            assert inspect.getdoc(resolve_name(patch.replacement)), patch


def test_the_hub_never_reads_a_patchable_attribute() -> None:
    """Rule 1.3: it binds originals when it is imported, or modules that are not patched."""
    patched: dict[str, set[str]] = {}
    for patch in PATCHES:
        if "." not in patch.attribute:
            patched.setdefault(patch.module, set()).add(patch.attribute)
    for path in Path(greenworld.hub.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))]
        for function in functions:
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    names = patched.get(node.value.id, set())
                    assert node.attr not in names, f"{path.name}:{node.lineno}"
