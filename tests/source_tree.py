"""The project's own source as the tests of its rules read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("annotate", "generator", "rlhf")


def sources(name: str) -> list[Path]:
    """The files of a folder, or the file itself."""
    path = ROOT / name
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def every_source() -> list[Path]:
    return [path for package in PACKAGES for path in sources(package)]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


@cache
def statements(path: Path) -> list[ast.stmt]:
    """Those of a file, at any depth; expressions, most of a tree, hold none."""
    found, left = [], list(tree(path).body)
    while left:
        statement = left.pop()
        found.append(statement)
        for part in ("body", "orelse", "finalbody"):
            left += getattr(statement, part, [])
        for part in ("handlers", "cases"):
            left += [inner for branch in getattr(statement, part, []) for inner in branch.body]
    return found


def import_statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """Those of a file, at any depth."""
    return [node for node in statements(path) if isinstance(node, ast.Import | ast.ImportFrom)]


def imported(path: Path) -> Iterator[str]:
    """Every absolute name that a file imports, at any depth; `from a import b` gives a and a.b."""
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def modules_imported(path: Path) -> set[str]:
    """Modules of this project; `from a import b` gives a.b where that is one, else a."""
    modules = set()
    for node in import_statements(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name for name in full if is_module(name)} or {node.module}
    return {name for name in modules if name.split(".")[0] in PACKAGES and is_module(name)}


def modules_of(name: str) -> list[str]:
    """The modules of a package, or the module itself."""
    folder = ROOT / name.replace(".", "/")
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    return [name_of(file) for file in files]


def is_within(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)
