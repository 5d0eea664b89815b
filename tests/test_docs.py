"""What the documentation names exists: commands, options, files. Its site needs nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOP = "annotate|generator|rlhf|templates|tests|bench|docs"


def every(pattern: str) -> set[tuple[str, str]]:
    """Each match of a pattern with the page on which it stands."""
    return {
        (match, page.name)
        for page in PAGES
        for match in re.findall(pattern, page.read_text(encoding="utf-8"))
    }


def test_modules_that_are_to_be_run_exist() -> None:
    missing = [
        (name, page)
        for name, page in every(r"python -m ((?:annotate|generator|rlhf|bench)[\w.]*)")
        if not (path := ROOT / name.rstrip(".").replace(".", "/")).with_suffix(".py").is_file()
        and not (path / "__main__.py").is_file()
    ]
    assert missing == []


def test_management_commands_and_their_options_exist() -> None:
    commands = get_commands()
    missing = []
    for (name, rest), page in every(r"manage\.py ([a-z_]+)((?: [^`\n|]*)?)"):
        if commands.get(name) not in ("annotate", "django.core"):
            missing.append((name, page))
            continue
        if commands[name] == "annotate":
            options = load_command_class("annotate", name).create_parser("manage.py", name)
            known = {option for action in options._actions for option in action.option_strings}
            missing += [
                (f"{name} {each}", page) for each in re.findall(r"--[a-z-]+", rest) if each not in known
            ]
    assert missing == []


def test_benchmarks_exist() -> None:
    names = every(r"python -m bench ([a-z_0-9]+)")
    assert [(name, page) for name, page in names if not (ROOT / "bench" / f"{name}.py").is_file()] == []


def test_files_that_are_named_exist() -> None:
    named = every(rf"`((?:{TOP})/[\w./-]*[\w/])`")
    assert [(name, page) for name, page in named if not (ROOT / name).exists()] == []


def test_every_row_of_the_tree_in_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\n(annotate/ .*?)```", text, re.DOTALL)
    assert len(block.splitlines()) <= 40
    parent, missing = "", []
    for line in block.splitlines():
        names = re.findall(r"\w+(?:/|\.py)(?= )", line[:26])
        if not line.startswith(" "):
            parent = names[0] if len(names) == 1 else ""
        base = ROOT / parent if line.startswith(" ") else ROOT
        missing += [name for name in names if not (base / name).exists()]
    assert missing == []


@pytest.mark.slow
def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.glob("*.html"))
    assert len(pages) > 20
    html = "".join(page.read_text(encoding="utf-8") for page in pages)
    tags = re.findall(r"<(?:link|script|img|iframe|video|source)\b[^>]*>", html)
    code = re.findall(r"<(?:script|style)\b[^>]*>(.*?)</(?:script|style)>", html, re.DOTALL)
    elsewhere = re.findall(r"""[^"'(\s]*//[^"')\s]+""", " ".join(tags))
    elsewhere += re.findall(r"https?://[^\s\"')]+", " ".join(code))
    assert set(elsewhere) - {"http://www.w3.org/2000/svg"} == set()
