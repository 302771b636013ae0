"""Finds the application that a string such as `package.module:make().app` names.

1. After the colon: names, attributes, and calls with literal arguments. Nothing else is
   evaluated; without a colon, `application` or `app` is meant.
2. A module that does not exist and a module that exists but fails to import are different
   mistakes, and are told apart.
3. Code that asks to exit while it is imported is a failure like any other.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
import traceback
from types import TracebackType
from typing import Any

from greenworld.wsgi.command.errorpage import ErrorPage
from greenworld.wsgi.command.settings import Settings

__all__ = ["LoadError", "explain", "load", "load_application"]

_DEFAULT_NAMES = ("application", "app")


class LoadError(Exception):
    """The application cannot be had; the text is one line for the user.

    `__cause__` is set where the application's own code raised.
    """


def load_application(settings: Settings) -> Any:
    """Return the application of `settings`, from below its directory. Raises `LoadError`.

    With `show_load_errors`, returns a page that shows the error instead, and writes it to
    standard error. The standard library must have been patched, if it is to be.
    """
    directory = os.path.abspath(settings.app_dir or ".")
    if directory not in sys.path[:1]:
        sys.path.insert(0, directory)
    if not settings.show_load_errors:
        return load(settings.app)
    try:
        return load(settings.app)
    except LoadError as error:
        text = explain(error, imports=True)
        print(text, file=sys.stderr, flush=True)
        return ErrorPage("The application cannot be loaded", text)


def explain(error: LoadError, *, imports: bool = False) -> str:
    """Return the error's line, after the traceback of the application's own code, if it has one.

    Without `imports`, a failed import has none: its line says which one failed, and where.
    """
    line = f"greenworld.wsgi: {error}"
    cause = error.__cause__
    if cause is None or (isinstance(cause, ImportError) and not imports):
        return line
    steps = _without_ours(cause.__traceback__)
    if steps is None and not isinstance(cause, SyntaxError):
        return line
    return f"{''.join(traceback.format_exception(type(cause), cause, steps))}{line}"


def _without_ours(step: TracebackType | None) -> TracebackType | None:
    """Leave out the steps from here to the application: this file's, and the import system's."""
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if file not in (__file__, importlib.__file__) and not file.startswith("<frozen importlib"):
            break
        step = step.tb_next
    return step


def load(name: str) -> Any:
    """Import the module and return the application. Raises `LoadError`.

    Runs the application's code, and so may block or do anything else.
    """
    module_name, colon, expression = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise LoadError(f"an application is MODULE:ATTRIBUTE, not {name!r}")
    tree = _parse(expression, name) if colon else None
    module = _import(module_name)
    if tree is None:
        for default in _DEFAULT_NAMES:
            if hasattr(module, default):
                return _checked(getattr(module, default), name)
        raise LoadError(f"module {module_name!r} has neither 'application' nor 'app'")
    return _checked(_resolve(tree, module, module_name), name)


def _parse(expression: str, name: str) -> ast.expr:
    try:
        return ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError):
        raise LoadError(f"cannot understand {expression!r} in {name!r}") from None


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            hint = ": leave out '.py'" if error.name.endswith(".py") else ""
            raise LoadError(f"there is no module {error.name!r} on sys.path{hint}") from None
        raise LoadError(f"module {name!r} cannot be imported: {error}{_where(error)}") from error
    except ImportError as error:
        raise LoadError(f"module {name!r} cannot be imported: {error}{_where(error)}") from error
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}"
        raise LoadError(f"module {name!r} cannot be imported: {what}") from error


def _where(error: BaseException) -> str:
    """Return ` (FILE, line N)` for the last step of the traceback that is a file's."""
    place = ""
    step = error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith("<"):
            place = f" ({file}, line {step.tb_lineno})"
        step = step.tb_next
    return place


def _resolve(tree: ast.expr, module: Any, module_name: str) -> Any:
    if isinstance(tree, ast.Name):
        return _attribute(module, tree.id, f"module {module_name!r}")
    if isinstance(tree, ast.Attribute):
        owner = _resolve(tree.value, module, module_name)
        return _attribute(owner, tree.attr, f"{ast.unparse(tree.value)!r} in {module_name!r}")
    if isinstance(tree, ast.Call):
        return _call(tree, module, module_name)
    raise LoadError(f"cannot understand {ast.unparse(tree)!r}: names, attributes and calls only")


def _attribute(owner: Any, name: str, what: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        raise LoadError(f"{what} has no attribute {name!r}") from None
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise LoadError(f"{name!r} of {what} cannot be had: {reason}") from error


def _call(tree: ast.Call, module: Any, module_name: str) -> Any:
    source = ast.unparse(tree)
    function = _resolve(tree.func, module, module_name)
    if not callable(function):
        raise LoadError(f"{ast.unparse(tree.func)!r} in {module_name!r} cannot be called")
    args, kwargs = _arguments(tree)
    try:
        return function(*args, **kwargs)
    except (Exception, SystemExit) as error:
        raise LoadError(f"{source!r} raised {type(error).__name__}: {error}") from error


def _arguments(tree: ast.Call) -> tuple[list[Any], dict[str, Any]]:
    kwargs = {}
    try:
        args = [ast.literal_eval(arg) for arg in tree.args]
        for word in tree.keywords:
            if word.arg is None:  # **{...}
                raise ValueError
            kwargs[word.arg] = ast.literal_eval(word.value)
    except (ValueError, TypeError):  # TypeError: a list in a set, or as a key
        source = ast.unparse(tree)
        raise LoadError(f"cannot understand {source!r}: the arguments must be literals") from None
    return args, kwargs


def _checked(application: Any, name: str) -> Any:
    if not callable(application):
        kind = type(application).__name__
        raise LoadError(
            f"{name!r} is not an application: an object of type {kind} cannot be called"
        )
    return application
