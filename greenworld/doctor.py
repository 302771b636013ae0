"""`python -m greenworld doctor`: what would still block all green threads, and where.

1. The program is imported in child processes, so that each judgement begins
   with a fresh interpreter: once patched by the launcher before anything else,
   and once as it is, in case it calls `monkey_patch()` itself.
2. A script is run with a `__name__` that is not "__main__".
3. The exit code is 0 only if nothing was found, 1 if something was, 2 for
   wrong usage and for a program that is not there.
4. What the program prints goes to standard error; the report goes to standard
   output.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from typing import TYPE_CHECKING, Any

from greenworld.blockers import loaded_blockers
from greenworld.patches import apply, monkey_patch
from greenworld.patches.examine import examine
from greenworld.patches.table import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from greenworld.patches import Applied, Left

    Finding = dict[str, Any]
    Judgement = dict[str, Any]

__all__ = ["main"]

USAGE = "usage: python -m greenworld doctor [SCRIPT | MODULE | MODULE:APP] [--json]"
SCRIPT_NAME = "__doctored__"
LAUNCHED, ITSELF = "launched", "itself"


def main() -> None:
    """Run the command of `sys.argv`. **Blocks** until the children have ended."""
    arguments = sys.argv[2:]
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)
        sys.exit(0)
    as_json = "--json" in arguments
    targets = [each for each in arguments if each != "--json"]
    if len(targets) > 1 or any(each.startswith("-") for each in targets):
        print(f"greenworld doctor: {USAGE}", file=sys.stderr)
        sys.exit(2)
    target = targets[0] if targets else ""
    judgements = [_judge(mode, target) for mode in (LAUNCHED, ITSELF)[: 2 if target else 1]]
    missing = [each["missing"] for each in judgements if "missing" in each]
    if missing:
        print(f"greenworld doctor: {missing[0]}", file=sys.stderr)
        sys.exit(2)
    judgements = [each for each in judgements if each["patched"]]
    clean = not any(each["findings"] for each in judgements)
    if as_json:
        print(json.dumps({"target": target, "clean": clean, "judgements": judgements}, indent=2))
    else:
        print("\n".join(_report(target, judgements)))
    sys.exit(0 if clean else 1)


def _judge(mode: str, target: str) -> Judgement:
    """Import the target in a child and return what it says of itself."""
    with tempfile.TemporaryDirectory(prefix="greenworld-doctor-") as directory:
        answer = os.path.join(directory, "answer.json")
        command = [sys.executable, *_options(), "-m", __name__, mode, target, answer]
        code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
        try:
            with open(answer, encoding="utf-8") as file:
                judgement: Judgement = json.load(file)
        except FileNotFoundError:
            finding = _finding(
                "error", target, f"the import ended the process with code {code}", "", 0,
                "let the import of the program return; put the rest under `if __name__ == ...`",
            )  # fmt: skip
            judgement = {"mode": mode, "patched": True, "findings": [finding], "notes": []}
    return judgement


def _options() -> list[str]:
    """The options of this interpreter that decide what a program can import."""
    flags = {"-I": sys.flags.isolated, "-E": sys.flags.ignore_environment,
             "-s": sys.flags.no_user_site, "-S": sys.flags.no_site,
             "-P": getattr(sys.flags, "safe_path", False)}  # fmt: skip
    return [option for option, is_set in flags.items() if is_set]


def _finding(kind: str, what: str, why: str, file: str, line: int, advice: str) -> Finding:
    return {"kind": kind, "what": what, "why": why, "file": file, "line": line, "advice": advice}


# In the child


class _Calls:
    """The calls of `monkey_patch` that a program makes by itself."""

    def __init__(self) -> None:
        self.left: list[Left] = []
        self.place = ("", 0)
        self.modules: set[str] = set()
        self._patch: Any = apply.monkey_patch

    def __call__(self, **groups: Any) -> Applied:
        if not self.place[0]:
            frame = sys._getframe(1)
            self.place = (frame.f_code.co_filename, frame.f_lineno)
            self.modules = set(sys.modules)
        applied: Applied = self._patch(**groups)
        self.left += applied.left
        return applied


def _examine(mode: str, target: str, answer: str) -> None:
    calls = _Calls()
    if mode == LAUNCHED:
        calls.left += monkey_patch().left
    else:
        for module in ("greenworld", "greenworld.patches", "greenworld.patches.apply"):
            vars(importlib.import_module(module))["monkey_patch"] = calls
    findings: list[Finding] = []
    judgement: Judgement = {"mode": mode, "findings": findings, "notes": []}
    try:
        _import(target)
    except _MissingError as error:
        judgement["missing"] = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the program may raise anything
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        why, advice = f"the import raises {error!r}", "mend this first: it must be importable"
        findings.append(_finding("error", target, why, *_last_step(error), advice))
    judgement["patched"] = bool(apply.patched_groups()) or bool(findings)
    judgement["patched_at"] = list(calls.place)
    if apply.patched_groups():
        left = {(each.kind, each.holder): each for each in (*examine(), *calls.left)}
        findings += _describe_left(left.values(), calls)
        findings += [
            _finding("library", each.module, each.what, *_import_of(each.module), each.advice)
            for each in loaded_blockers()
        ]
        unpatched = sorted(set(GROUPS) - apply.patched_groups())
        if unpatched:
            judgement["notes"].append(f"these groups are not patched: {', '.join(unpatched)}")
    with open(answer, "w", encoding="utf-8") as file:
        json.dump(judgement, file)


def _describe_left(left: Iterable[Left], calls: _Calls) -> list[Finding]:
    findings = []
    for each in sorted(left):
        file, line = each.line
        advice = "make it after monkey_patch(), or keep it where it can be replaced (an attribute)"
        if calls.place[0] and each.module in calls.modules:
            patch = f"{calls.place[0]}:{calls.place[1]}"
            above = f"the import of {each.module}"
            place = _import_of(each.module)
            if each.module == SCRIPT_NAME:
                above = "everything else in the script"
            elif place[0]:
                above += f" ({place[0]}:{place[1]})"
            advice = f"move monkey_patch() ({patch}) above {above}"
            advice += ", or start with `python -m greenworld`"
        what = each.holder.removeprefix(f"{SCRIPT_NAME}.")
        findings.append(_finding(each.kind, what, each.why, file, line, advice))
    return findings


class _MissingError(Exception):
    """There is no such program; the text is one line for the user."""


def _import(target: str) -> None:
    """Import a script, a module, or the module of an application."""
    sys.argv[:] = [target]
    if not target:
        return
    if os.path.exists(target) and (target.endswith(".py") or os.sep in target):
        sys.path[0] = os.path.dirname(os.path.realpath(target))
        spec = importlib.util.spec_from_file_location(SCRIPT_NAME, os.path.abspath(target))
        if spec is None or spec.loader is None:
            raise _MissingError(f"{target!r} is not a Python script")
        module = importlib.util.module_from_spec(spec)
        sys.modules[SCRIPT_NAME] = module
        spec.loader.exec_module(module)
        return
    if target.endswith(".py") or os.sep in target:
        raise _MissingError(f"can't open file {target!r}: there is no such file")
    name, _, attributes = target.partition(":")
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise _MissingError(f"there is no module {error.name!r} on sys.path") from None
        raise
    for attribute in filter(None, attributes.split("(")[0].split(".")):
        if not hasattr(found, attribute):
            raise _MissingError(f"{name!r} has no attribute {attributes!r}")
        found = getattr(found, attribute)


def _last_step(error: BaseException) -> tuple[str, int]:
    """File and line of the last step of a traceback that is a file's."""
    steps = [
        step for step in traceback.extract_tb(error.__traceback__) if os.path.exists(step.filename)
    ]
    return (steps[-1].filename, steps[-1].lineno or 0) if steps else ("", 0)


def _import_of(name: str) -> tuple[str, int]:
    """Where a loaded module of the program, else of a library, imports `name`."""
    names = {name, name.partition(".")[0]}
    pattern = re.compile(rf"\s*(from|import)\s+({'|'.join(map(re.escape, names))})\b")
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    own = [file for file in files if file and file.endswith(".py")]
    for file in sorted(own, key=lambda path: ("site-packages" in path, path)):
        if f"{os.sep}{name.partition('.')[0]}{os.sep}" in file:
            continue  # its own modules
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                for number, text in enumerate(lines, 1):
                    if pattern.match(text):
                        return file, number
        except OSError:
            continue
    return "", 0


# The report


def _report(target: str, judgements: list[Judgement]) -> list[str]:
    lines = [f"greenworld doctor: {target or 'a bare interpreter'}"]
    for each in judgements:
        lines += ["", _how(each, target)]
        for note in each["notes"]:
            lines.append(f"  note: {note}")
        for finding in each["findings"]:
            place = f"{finding['file']}:{finding['line']}" if finding["file"] else "(no line known)"
            lines.append(f"  {place}")
            lines.append(f"      {finding['kind']} {finding['what']}: {finding['why']}")
            lines.append(f"      change: {finding['advice']}")
    return lines


def _how(judgement: Judgement, target: str) -> str:
    number = len(judgement["findings"])
    count = f"{number} finding{'s' if number != 1 else ''}" if number else "clean"
    if judgement["mode"] == LAUNCHED:
        way = f"python -m greenworld {target}" if target else "monkey_patch()"
        return f"Patched before anything else (`{way.strip()}`): {count}"
    file, line = judgement.get("patched_at") or ("", 0)
    place = f" ({file}:{line})" if file else ""
    return f"Patched by the program's own call{place}: {count}"


if __name__ == "__main__":
    _examine(*sys.argv[1:4])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # whatever threads the program has started
