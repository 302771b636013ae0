"""The three folders at the top are one package, and every way of installing it agrees."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Folder of the source -> the package it is imported as.
FOLDERS = {"greenworld": "greenworld", "hub": "greenworld.hub", "patches": "greenworld.patches"}

in_checkout = pytest.mark.skipif(
    (ROOT / "PKG-INFO").exists(), reason="a source distribution carries no links"
)


def python(*argv: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *argv],
        cwd=cwd,
        env={**env, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def sources() -> dict[str, Path]:
    """Installed name of each source file -> its path, links not followed."""
    found = {}
    for folder, package in FOLDERS.items():
        for directory, subfolders, files in os.walk(ROOT / folder):
            subfolders[:] = [
                name
                for name in subfolders
                if name != "__pycache__" and not (Path(directory) / name).is_symlink()
            ]
            for name in files:
                if name.endswith(".py") or name == "py.typed":
                    path = Path(directory) / name
                    inside = path.relative_to(ROOT / folder).as_posix()
                    found[f"{package.replace('.', '/')}/{inside}"] = path
    return found


@in_checkout
@pytest.mark.parametrize("folder", ["hub", "patches"])
def test_link_is_a_relative_link(folder: str) -> None:
    link = ROOT / "greenworld" / folder
    assert link.is_symlink()
    assert os.readlink(link) == f"../{folder}"


def test_packages_are_exactly_the_directories_with_an_init_file() -> None:
    tomllib = pytest.importorskip("tomllib", reason="CPython 3.10 cannot read TOML")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    packages = {
        os.path.dirname(name).replace("/", ".")
        for name in sources()
        if name.endswith("/__init__.py")
    }
    assert set(settings["packages"]) == packages
    assert settings["package-dir"] == {package: folder for folder, package in FOLDERS.items()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy without links, as from an unpacked zip."""
    pytest.importorskip("setuptools", minversion="77", reason="building needs setuptools >= 77")
    copy = tmp_path_factory.mktemp("source")
    texts = ["pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"]
    for path in [ROOT / name for name in texts] + list(sources().values()):
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    done = python("-c", build, cwd=copy)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the wheel's files, as site-packages would."""
    directory = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    return directory


@pytest.mark.slow
def test_wheel_holds_every_source_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name for name in names if ".dist-info/" not in name} == set(sources())


@pytest.mark.slow
def test_installed_package_imports_from_elsewhere(installed: Path, tmp_path: Path) -> None:
    code = "import greenworld.hub, greenworld.patches, greenworld.wsgi as w; print(w.__file__)"
    done = python("-c", code, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == installed / "greenworld/wsgi/__init__.py"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hub", "patches"])
def test_installing_takes_no_top_level_name(installed: Path, tmp_path: Path, name: str) -> None:
    done = python("-c", f"import {name}", cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode != 0
    assert f"ModuleNotFoundError: No module named '{name}'" in done.stderr


@pytest.mark.parametrize("name", ["hub", "patches"])
def test_folder_refuses_to_be_imported_by_its_own_name(name: str) -> None:
    done = python("-c", f"import {name}", cwd=ROOT)
    assert done.returncode != 0
    assert re.search(rf"^ImportError: .*greenworld\.{name}", done.stderr, re.MULTILINE)


@in_checkout
def test_bare_checkout_imports() -> None:
    done = python("-c", "import greenworld.wsgi; print(greenworld.__file__)", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == ROOT / "greenworld/__init__.py"


def run_time_imports(tree: ast.Module) -> set[str]:
    """Top-level names of the modules imported outside ``if TYPE_CHECKING:``."""
    found: dict[ast.AST, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found[node] = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found[node] = [node.module or "a relative import"]
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                found.pop(statement, None)
    return {name.partition(".")[0] for names in found.values() for name in names}


EXTRAS = {
    "greenworld/gunicorn.py": {"gunicorn"},
    "greenworld/patches/psycopg.py": {"psycopg"},
    "greenworld/patches/psycopg2.py": {"psycopg2"},
    "greenworld/wsgi/command/reload.py": {"watchfiles"},
}
"""What serves a library may import it: nobody else imports these modules."""


@pytest.mark.parametrize("name", sorted(n for n in sources() if n.endswith(".py")))
def test_needs_only_itself_the_standard_library_and_greenlet(name: str) -> None:
    allowed = sys.stdlib_module_names | {"greenlet", "greenworld"} | EXTRAS.get(name, set())
    assert run_time_imports(ast.parse(sources()[name].read_text("utf-8"))) - allowed == set()
