"""The report of an evaluation in a real browser: from disk, without network, and for everybody's eyes."""

from __future__ import annotations

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from rlhf.evaluation.report.page import write_report
from tests.rlhf.evaluation.planted_result import planted_run


def test_it_opens_from_disk_and_its_tables_are_those_of_the_result(chromium: Browser, tmp_path: Path) -> None:
    result = planted_run(tmp_path)
    report = write_report(tmp_path, result)
    # The report's own rule against scripts would hold axe out too.
    context = chromium.new_context(viewport={"width": 1280, "height": 720}, offline=True, bypass_csp=True)
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url.split(":")[0]))
    page.on("console", lambda message: faults.append(message.text))
    page.goto(report.as_uri())
    assert set(asked) <= {"file", "data"} and asked.count("file") == 1
    cells = page.eval_on_selector_all(
        "#main-table td",
        "all => all.map(td => [td.closest('tr').dataset.system, td.dataset.column,"
        " td.querySelector('.mean').textContent])",
    )
    told = {(system, column): mean for system, column, mean in cells}
    assert told == {
        (system, column): f"{100 * cell['mean']:.2f}"
        for system, columns in result["table"].items()
        for column, cell in columns.items()
    }
    pictures = page.eval_on_selector_all(".strip img", "all => all.map(one => one.naturalWidth)")
    assert pictures and min(pictures) > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        violations = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in violations if one["impact"] != "minor"] == []
    assert faults == []
    context.close()
