"""The rules of a single file. Where one fails, change the file, not the rule."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.source_tree import PACKAGES, ROOT, every_source, imported, shown, statements, tree

VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "handler", "misc"}
LONGEST_FILE, LONGEST_FUNCTION = 400, 50
# Packages that hand on names on purpose.
SPEAKING_INITS = {"annotate/models/__init__.py", "generator/model/__init__.py"}


def reads_environment(path: Path) -> list[int]:
    """Lines that touch the environment, other than naming the settings module as Django asks to."""
    text = path.read_text(encoding="utf-8")
    if not any(word in text for word in ("environ", "getenv")):
        return []
    nodes = list(ast.walk(tree(path)))
    named = [
        node.func.value
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "setdefault"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value == "DJANGO_SETTINGS_MODULE"
    ]
    return [
        node.lineno
        for node in nodes
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ("environ", "environb", "getenv")
            and node not in named
        )
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and node.names[0].name in ("environ", "getenv")
        )
    ]


def test_only_settings_read_the_environment() -> None:
    files = [path for path in every_source() if shown(path) != "annotate/settings.py"]
    assert {shown(path): lines for path in files if (lines := reads_environment(path))} == {}


def test_imports_are_absolute() -> None:
    relative = [
        f"{shown(path)}:{node.lineno}"
        for path in every_source()
        for node in statements(path)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_names_say_what_is_inside() -> None:
    vague = [
        shown(path)
        for path in every_source()
        for part in path.relative_to(ROOT).with_suffix("").parts
        if set(part.split("_")) & VAGUE
    ]
    assert vague == []


def python_files() -> list[Path]:
    """Source, tests and benchmarks; a migration that makes all tables is as long as they are."""
    folders = (path for name in (*PACKAGES, "bench", "tests") for path in (ROOT / name).rglob("*.py"))
    return sorted(path for path in folders if path.parent.name != "migrations")


def test_files_stay_short() -> None:
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_stay_short() -> None:
    assert [
        f"{shown(path)}:{node.lineno} {node.name} has {length} lines"
        for path in python_files()
        for node in statements(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := lines_of(node)) > LONGEST_FUNCTION
    ] == []


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without the docstring, which says how to use it."""
    first = function.body[0]
    is_docstring = ast.get_docstring(function) is not None
    length = (function.end_lineno or 0) - function.lineno + 1
    return length - ((first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0)


def test_package_files_hold_only_a_docstring() -> None:
    inits = [
        path for path in every_source() if path.name == "__init__.py" and shown(path) not in SPEAKING_INITS
    ]
    speaking = [
        shown(path) for path in inits if any(not isinstance(node, ast.Expr) for node in tree(path).body)
    ]
    assert speaking == []


def test_no_test_module_imports_another() -> None:
    """What several of them use stands in a module that says what it holds, and has no test in it."""
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert [
        f"{shown(path)} imports {name}"
        for path in tests
        for name in imported(path)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ] == []
    assert [
        f"{shown(path)} has tests and another name"
        for path in tests
        if not path.name.startswith("test_")
        and any(
            isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in tree(path).body
        )
    ] == []
