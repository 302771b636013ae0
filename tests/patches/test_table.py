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
from typing import Any

import pytest

import greenworld.hub
from greenworld.patches.table import GROUPS, OPTIONAL, PATCHES, SETTLERS, Patch, is_late

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "patching.md"


def is_of_another_release(patch: Patch) -> bool:
    """Whether the row says that this Python has no such name."""

    def number(text: str) -> tuple[int, ...]:
        return tuple(map(int, text.split(".")))

    mine = sys.version_info[:2]
    return bool(
        (patch.since and mine < number(patch.since)) or (patch.until and mine > number(patch.until))
    )


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
    if patch.module.partition(".")[0] not in sys.stdlib_module_names:
        pytest.importorskip(patch.module)
    try:
        owner: Any = importlib.import_module(patch.module)
        for name in patch.attribute.split("."):
            owner = getattr(owner, name)
    except AttributeError:
        assert is_of_another_release(patch)
    else:
        assert not is_of_another_release(patch)


@pytest.mark.skipif(not DOCUMENT.exists(), reason="an installed package has no documents")
def test_the_document_lists_the_table() -> None:
    """To renew it: run this file as a program."""
    text = DOCUMENT.read_text("utf-8")
    _, _, rest = text.partition("<!-- table -->\n")
    listed, _, _ = rest.partition("<!-- end of table -->")
    assert listed.strip() == list_table().strip()


def list_table() -> str:
    """Everything that is patched, a line for each group and module, as Markdown."""
    lines = ["| group | module | names |", "|---|---|---|"]
    for group in (*GROUPS, *OPTIONAL):
        rows = [patch for patch in PATCHES if patch.group == group]
        for module in dict.fromkeys(patch.module for patch in rows):
            names = ", ".join(_list_name(patch) for patch in rows if patch.module == module)
            late = " (when it is imported)" if is_late(module) else ""
            lines.append(f"| {group} | `{module}`{late} | {names} |")
    return "\n".join(lines)


def _list_name(patch: Patch) -> str:
    since = f" from {patch.since}" if patch.since else ""
    until = f" up to {patch.until}" if patch.until else ""
    return f"`{patch.attribute}`{since}{until}"


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


if __name__ == "__main__":
    before, mark, rest = DOCUMENT.read_text("utf-8").partition("<!-- table -->\n")
    _, end, after = rest.partition("<!-- end of table -->")
    DOCUMENT.write_text(f"{before}{mark}{list_table()}\n{end}{after}", "utf-8")
