"""`python -m greenworld …`: patch first, then run a program as `python …` would.

Owns the command line and the way a program becomes `__main__`:

1. The standard library is patched before anything of the program is imported.
2. The program runs in the real module `__main__`, in the main green thread,
   with `sys.argv`, `sys.path[0]`, `__file__` and `__spec__` as Python sets them.
3. Its exceptions and exit codes are its own: they leave the launcher as they
   are, and their tracebacks show no step of it.
4. Wrong usage, and a script that cannot be read, end in exit code 2.
"""

from __future__ import annotations

import io
import os
import runpy
import sys
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from pkgutil import get_importer
from typing import TYPE_CHECKING, Any, NamedTuple

from greenworld.patches import monkey_patch
from greenworld.patches.table import GROUPS, OPTIONAL

if TYPE_CHECKING:
    from types import CodeType, TracebackType

__all__ = ["UsageError", "main"]

USAGE = """\
usage: python -m greenworld [--no-GROUP | --with-GROUP]... PROGRAM [ARG]...
       python -m greenworld doctor [SCRIPT | MODULE | MODULE:APP] [--json]

PROGRAM is SCRIPT, -m MODULE, -c CODE, or - for standard input.
Runs a Python program with the standard library patched before anything else is imported.
`doctor` imports a program and says what would still block all green threads.

  --no-GROUP     leave a group as it is: {groups}
  --with-GROUP   patch a group that is not patched by default: {optional}
  --help         show this text
"""


class UsageError(Exception):
    """The command line asks for what cannot be; the text is one line for the user."""


class Command(NamedTuple):
    """What a command line asks for."""

    groups: dict[str, bool]
    kind: str
    """"-m", "-c", or "" for a path ("-": standard input)."""
    what: str
    arguments: list[str]


def main() -> None:
    """Run the command of `sys.argv`. Ends as the program ends; **blocks** as it does."""
    try:
        command = parse(sys.argv[1:])
        if command is None:
            sys.stdout.write(USAGE.format(groups=", ".join(GROUPS), optional=", ".join(OPTIONAL)))
            return
        chosen = [name for name in command.groups if command.groups[name]]
        monkey_patch(all=True, **command.groups) if chosen else monkey_patch(**command.groups)
        program = prepare(command)
    except UsageError as error:
        print(f"greenworld: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        program()
    except SystemExit:
        raise
    except BaseException:
        _hide_launcher()
        raise


def parse(arguments: list[str]) -> Command | None:
    """What the arguments ask for; None: help. Raises `UsageError`."""
    groups: dict[str, bool] = {}
    rest = list(arguments)
    while rest:
        first = rest.pop(0)
        if first in ("-h", "--help"):
            return None
        if first.startswith("--"):
            name, wanted = _parse_group(first)
            groups[name] = wanted
        elif first in ("-m", "-c"):
            if not rest:
                raise UsageError(f"{first} needs an argument; see --help")
            return Command(groups, first, rest[0], rest[1:])
        elif first.startswith("-") and first != "-":
            raise UsageError(f"there is no option {first}; options of Python go before -m")
        else:
            return Command(groups, "", first, rest)
    raise UsageError("there is nothing to run; see --help")


def _parse_group(option: str) -> tuple[str, bool]:
    for prefix, names, wanted in (("--no-", GROUPS, False), ("--with-", OPTIONAL, True)):
        name = option.removeprefix(prefix)
        if name != option:
            if name not in names:
                raise UsageError(f"{option}: choose among {', '.join(prefix + n for n in names)}")
            return name, wanted
    raise UsageError(f"there is no option {option}; see --help")


def prepare(command: Command) -> _Program:
    """Find the program and set the interpreter up for it. Raises `UsageError`."""
    kind, what, arguments = command.kind, command.what, command.arguments
    names: dict[str, Any] = {"__loader__": BuiltinImporter, "__spec__": None}
    if kind == "-m":
        sys.argv[:] = ["-m", *arguments]
        return _Program(names, module=what)
    if kind == "-c" or what == "-":
        sys.argv[:] = [kind or "-", *arguments]
        _set_first_path("")
        if kind:
            _show_in_tracebacks(what)
            return _Program(names, source=what, file="<string>")
        names["__file__"] = "<stdin>"
        _add_cached(names)
        return _Program(names, source=sys.stdin.buffer.read(), file="<stdin>")
    sys.argv[:] = [what, *arguments]
    if os.path.isdir(what) or get_importer(what) is not None:
        _set_first_path(os.path.join(os.getcwd(), what))
        return _Program(names)
    path = os.path.join(os.getcwd(), what)
    source = _read(path)
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    names["__file__"] = path
    names["__loader__"] = SourceFileLoader("__main__", path)
    _add_cached(names)
    return _Program(names, source=source, file=path)


def _add_cached(names: dict[str, Any]) -> None:
    if hasattr(sys.modules[__name__], "__cached__"):  # until 3.14
        names["__cached__"] = None


def _show_in_tracebacks(source: str) -> None:
    """From 3.13 on, tracebacks show the lines of `python -c`."""
    linecache = __import__("linecache")  # here, because it takes as long as all of this module
    if hasattr(linecache, "_register_code"):
        lines = [f"{line}\n" for line in source.splitlines()]
        linecache.cache["<string>"] = (len(source), None, lines, "<string>")


def _read(path: str) -> bytes:
    try:
        with io.open_code(path) as file:
            return file.read()
    except OSError as error:
        raise UsageError(
            f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        ) from None


def _set_first_path(directory: str) -> None:
    """What the program is given to import from, where Python itself would."""
    if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):
        sys.path[0] = directory


class _Program:
    """A program that is ready to become `__main__`."""

    def __init__(
        self,
        names: dict[str, Any],
        *,
        module: str = "",
        source: bytes | str | None = None,
        file: str = "",
    ) -> None:
        self.names = names
        self.module = module
        self.source = source
        self.file = file

    def __call__(self) -> None:
        """Run it. **Blocks** as it does; raises what it raises."""
        globals_ = vars(sys.modules["__main__"])
        for name in list(globals_):
            if name != "__builtins__":
                del globals_[name]
        globals_.update(__name__="__main__", __doc__=None, __package__=None, **self.names)
        run: Any = runpy
        if self.source is not None:
            exec(self._compile(self.source), globals_)
        elif self.module:
            run._run_module_as_main(self.module)  # what `python -m` calls
        else:
            run._run_module_as_main("__main__", alter_argv=False)  # a directory or an archive

    def _compile(self, source: bytes | str) -> CodeType:
        if self.file.endswith(".pyc"):
            code = SourcelessFileLoader("__main__", self.file).get_code("__main__")
            assert code is not None
            return code
        return compile(source, self.file, "exec", dont_inherit=True)


def _hide_launcher() -> None:
    """Have the exception that is on its way shown without the steps of the launcher."""
    show = sys.excepthook

    def show_program(kind: Any, error: BaseException, traceback: TracebackType | None) -> None:
        step = traceback
        while step is not None and _is_launcher(step.tb_frame.f_code.co_filename):
            step = step.tb_next
        show(kind, error.with_traceback(step), step)

    sys.excepthook = show_program


def _is_launcher(file: str) -> bool:
    own = (__file__, os.path.join(os.path.dirname(__file__), "__main__.py"))
    return file in own or file in ("<frozen runpy>", runpy.__file__)
