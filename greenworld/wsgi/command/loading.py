"""Finds the application that a string such as `package.module:make().app` names.

1. After the colon: names, attributes, and calls with literal arguments. Nothing else is
   evaluated; without a colon, `application` or `app` is meant.
2. A module that does not exist and a module that exists but fails to import are different
   mistakes, and are told apart.
"""

from __future__ import annotations

import ast
import importlib
from typing import Any

__all__ = ["LoadError", "load"]

_DEFAULT_NAMES = ("application", "app")


class LoadError(Exception):
    """The application cannot be had; the text is one line for the user.

    `__cause__` is set where the application's own code raised.
    """


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
    except Exception as error:
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


def _call(tree: ast.Call, module: Any, module_name: str) -> Any:
    source = ast.unparse(tree)
    function = _resolve(tree.func, module, module_name)
    if not callable(function):
        raise LoadError(f"{ast.unparse(tree.func)!r} in {module_name!r} cannot be called")
    try:
        args = [ast.literal_eval(arg) for arg in tree.args]
        kwargs = {str(word.arg): ast.literal_eval(word.value) for word in tree.keywords if word.arg}
    except ValueError:
        raise LoadError(f"cannot understand {source!r}: the arguments must be literals") from None
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise LoadError(f"{source!r} raised {type(error).__name__}: {error}") from error


def _checked(application: Any, name: str) -> Any:
    if not callable(application):
        kind = type(application).__name__
        raise LoadError(
            f"{name!r} is not an application: an object of type {kind} cannot be called"
        )
    return application
