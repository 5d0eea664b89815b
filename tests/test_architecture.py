"""The rules of how the project is cut. Where one fails, move the code, not the rule."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.source_tree import (
    PACKAGES,
    ROOT,
    every_source,
    imported,
    is_module,
    is_within,
    modules_imported,
    modules_of,
    name_of,
    room_of,
    shown,
    sources,
)

WEB = {"django", "rest_framework", "drf_spectacular", "django_htmx", "celery", "pgtrigger", "annotate"}
TORCH = {"torch", "diffusers", "transformers", "peft", "trl", "accelerate", "datasets"}
# What each place may not import, on top of what its parents may not.
FORBIDDEN = {
    "generator": WEB | {"rlhf"},
    "rlhf": WEB,
    "annotate": TORCH,
    # It starts what Django runs in, so it must come up where Django's settings cannot.
    "annotate/supervisor": {"django", "celery", "rest_framework"},
    # It runs on machines that have no database.
    "annotate/fleet": {"django", "rest_framework", "annotate.models", "annotate.database", "annotate.jobs"},
    "annotate/core/environment.py": {"django"},
    "annotate/core/sockets.py": {"django"},
    "annotate/framework.py": {"django"},
    "annotate/settings.py": {"django"},
    "annotate/storage/address.py": {"django"},
}
# What stands at the top of a package beside its rooms.
LOOSE = {
    "annotate": {"admin", "apps", "asgi", "celery", "framework", "settings", "urls", "wsgi"},
    "generator": {
        "adapter_files",
        "faults",
        "files",
        "frozen_set",
        "frozen_table",
        "instances",
        "model_files",
        "parts",
        "prompt_reading",
        "records",
        "register",
        "resident",
        "rundir",
        "sample",
        "validation",
    },
    "rlhf": {"evaluate", "objectives", "records"},
}
MAX_MODULES = 15
# Tables and commands lie side by side, however many there are.
SHELVES = {"annotate.models", "annotate.migrations", "annotate.management"}
# In a room: tables, then reads, then writes, then what people and programs come in by.
TABLES, READS, WRITES, ENTRANCES = range(4)
# What may be loaded where there is neither Django nor torch.
PLAIN = {
    "generator.records",
    "generator.validation",
    "generator.frozen_set",
    "generator.frozen_table",
    "generator.dataset",
    "generator.adapter_files",
    "generator.rundir",
    "generator.media",
    "generator.files",
    "generator.instances",
    "generator.curation",
    "generator.prompts",
    "generator.prompt_reading",
    "generator.portraits.world",
    "rlhf.records",
    "rlhf.votes.consensus",
    "rlhf.votes.pareto",
    "rlhf.votes",
    "rlhf.votes.model",
    "rlhf.votes.fit",
    "rlhf.votes.stopping",
    "rlhf.votes.agreement",
    "rlhf.votes.annotators",
    "rlhf.votes.collusion",
    "rlhf.votes.yield_plan",
    "rlhf.export",
    "rlhf.export.row",
    "rlhf.export.rule",
    "rlhf.dpo.model_card",
    "rlhf.training.config",
    "rlhf.dpo.config",
    "rlhf.dpo.estimate",
    "rlhf.dpo.preflight",
    "rlhf.dpo.form",
    "rlhf.sft.config",
    "rlhf.sft.preflight",
    "rlhf.training.set_facts",
    "generator.model_files",
    "rlhf.training.instances",
    "rlhf.evaluation.benchmark",
}
# In plain rooms, but imported only where somebody names a model that runs here.
ON_TORCH = {
    "generator.curation.detection.human_detector",
    "generator.prompts.backends.language_models",
}


def plain_modules() -> list[str]:
    """Also every module of the learning side that the web imports, whatever its name."""
    used = {
        name
        for path in sources("annotate")
        for name in imported(path)
        if name.startswith(("generator.", "rlhf.")) and is_module(name)
    }
    return sorted((used | {module for plain in PLAIN for module in modules_of(plain)}) - ON_TORCH)


def run_python(code: str, folder: Path) -> str:
    argv = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("place", FORBIDDEN)
def test_it_imports_nothing_forbidden(place: str) -> None:
    files = [path for path in sources(place) if path.exists()]
    assert [
        f"{shown(path)} imports {name}"
        for path in files
        for name in imported(path)
        if is_within(name, FORBIDDEN[place])
    ] == []


def test_no_file_imports_both_django_and_torch() -> None:
    web = WEB - {"annotate"}
    both = [
        shown(path)
        for path in [*every_source(), *(ROOT / "tests").rglob("*.py")]
        if any(is_within(name, web) for name in imported(path))
        and any(is_within(name, TORCH) for name in imported(path))
    ]
    assert both == []


def test_only_the_model_imports_diffusers() -> None:
    allowed = ROOT / "generator" / "model"
    outside = [path for path in every_source() if not path.is_relative_to(allowed)]
    assert [
        shown(path) for path in outside if any(is_within(name, {"diffusers"}) for name in imported(path))
    ] == []


def test_plain_modules_load_without_django_or_torch_and_leave_no_trace(tmp_path: Path) -> None:
    code = f"""
import importlib, logging, os
import cv2  # its own loader adds to LD_LIBRARY_PATH
before = dict(os.environ)
for name in {plain_modules()!r}:
    importlib.import_module(name)
    heavy = {sorted(WEB | TORCH)!r}
    loaded = [module for module in heavy if module in sys.modules]
    if loaded:
        sys.exit(print(name, "loads", *loaded))
if logging.getLogger().handlers or dict(os.environ) != before:
    print("logging or the environment was changed")
"""
    assert run_python(code, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_worker_loads_neither_tables_nor_torch(tmp_path: Path) -> None:
    """Even where the environment names Django's settings, for which Celery looks."""
    code = "import os; os.environ |= {'VAR_DIR': 'var', 'DJANGO_SETTINGS_MODULE': 'annotate.settings'}"
    heavy = sorted({"django.db", "django.apps", "psycopg", "annotate.models", *TORCH})
    code += f"; import annotate.fleet.app; print(*(name for name in {heavy!r} if name in sys.modules))"
    assert run_python(code, tmp_path) == "\n"


def test_settings_create_nothing(tmp_path: Path) -> None:
    code = "import logging, os; os.environ['VAR_DIR'] = 'var'; import annotate.settings"
    run_python(f"{code}; assert not logging.root.handlers", tmp_path)
    assert list(tmp_path.iterdir()) == []


def rooms(package: str) -> dict[str, set[str]]:
    """Each room with the rooms that it imports; the loose modules at the top stand beside all of them."""
    every = {f"{package}.{name}" for name in folders(package)}
    graph: dict[str, set[str]] = {}
    for path in sources(package):
        room = room_of(name_of(path))
        if room.rpartition(".")[2] in LOOSE[package] or room in (package, f"{package}.migrations"):
            continue
        others = {room_of(name) for name in modules_imported(path)} & every
        graph.setdefault(room, set()).update(others - {room})
    return graph


def folders(package: str) -> set[str]:
    return {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_import_each_other_in_one_direction(package: str) -> None:
    graph = rooms(package)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these rooms import each other in a circle: {' -> '.join(error.args[1])}")
    print(f"\n{package}, from the ground up:")
    for room in order:
        below = ", ".join(sorted(name.rpartition(".")[2] for name in graph[room])) or "no other"
        print(f"  {room.rpartition('.')[2]:14} imports {below}")


@pytest.mark.parametrize("package", LOOSE)
def test_nothing_lies_loose_at_the_top(package: str) -> None:
    assert {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"} == LOOSE[package]


def test_no_room_is_crowded() -> None:
    sizes = Counter(
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in sources(package)
        if path.name != "__init__.py" and not is_within(name_of(path), SHELVES)
    )
    assert {room: size for room, size in sizes.items() if size > MAX_MODULES} == {}


def floor_of(path: Path) -> int | None:
    """Where a module of a room stands, by its name; None for what every floor may use."""
    name, room = path.stem, path.relative_to(ROOT).parts[1]
    if room == "models":
        return TABLES
    if room in ("api", "management") or name in ("tasks", "views", "urls") or name.endswith("_views"):
        return ENTRANCES
    if name == "queries" or name.endswith("_queries"):
        return READS
    names_no_row = not is_within("annotate.models", {room_of(name) for name in modules_imported(path)})
    return None if room in ("core", "database", "supervisor") or names_no_row else WRITES


def test_reads_writes_and_entrances_keep_their_order() -> None:
    """models <- queries <- services <- tasks, views, api, commands, by the names of the files."""
    assert [
        f"{shown(path)} imports {name}"
        for room in folders("annotate")
        for path in sources(f"annotate/{room}")
        if (floor := floor_of(path)) is not None
        for name in modules_imported(path)
        if name.startswith("annotate.") and (file := file_of(name)).parent.parent.name == "annotate"
        if (other := floor_of(file)) is not None and other > floor
    ] == []


def file_of(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
