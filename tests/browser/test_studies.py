"""A user study in a real browser, from the entry link to the report, with participants of known minds."""

from __future__ import annotations

from random import Random
from typing import Any
from uuid import uuid4

from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from playwright.sync_api import Page, expect

from annotate.models import Participant, Study, StudyAnswer, StudyTask, User
from rlhf.evaluation.study_plan import Criterion
from rlhf.records import Verdict
from tests.browser.conftest import Visit
from tests.browser.judging_page import JudgingPage
from tests.factories import make_instance
from tests.studies import SYSTEMS, Thinker, make_evaluation, open_study

KEYS = {"left": "1", "right": "2", "tie": "3"}
#: Who is best by each criterion, in whose eyes anybody's answers are drawn.
RANKINGS = {
    Criterion.IDENTITY_FIDELITY: ("anyid", "phantom", "consisid"),
    Criterion.PROMPT_CONTROLLABILITY: ("phantom", "anyid", "consisid"),
    Criterion.ELEMENT_CONSISTENCY: ("consisid", "phantom", "anyid"),
    Criterion.VISUAL_QUALITY: ("anyid", "consisid", "phantom"),
}
LOG_PI = {
    criterion: dict(zip(ranking, (1.5, 0.0, -1.5), strict=True)) for criterion, ranking in RANKINGS.items()
}
#: The whole study; the paper's is 20 x 40.
PEOPLE, PAIRS = 7, 8


def next_task(person: User) -> StudyTask:
    tasks = StudyTask.objects.filter(seat__participant=person, answer=None)
    return tasks.select_related("pair__first__model", "pair__second__model").order_by("position")[0]


def enter(page: Page) -> JudgingPage:
    page.get_by_role("button", name="I agree").click()
    judging = JudgingPage(page)
    judging.wait_until_ready()
    return judging


def answer_by_program(study: Study, name: str, mind: Thinker) -> None:
    """A participant without a browser."""
    client = Client()
    client.post(f"/enter/{study.link.token}/", {"PROLIFIC_PID": name})
    person = Participant.objects.get(external_id=name).account
    for _ in range(PAIRS):
        task = next_task(person)
        sent = {"lease": task.lease, "idempotency_key": uuid4(), **mind.choices(task)}
        assert client.post(f"/study/{study.pk}/", sent).status_code == 302


def test_planted_rankings_are_recovered_from_the_entry_link_to_the_report(
    visit: Visit, lea: User, transactional_db: None
) -> None:
    study = open_study(make_evaluation(num_instances=4), pairs=PAIRS, people=PEOPLE)
    minds = [Thinker(LOG_PI, random=Random(number)) for number in range(PEOPLE)]
    for number, mind in enumerate(minds[1:], start=1):
        answer_by_program(study, f"person-{number}", mind)

    page = visit(None, f"/enter/{study.link.token}/?PROLIFIC_PID=person-0")
    judging = enter(page)
    person = Participant.objects.get(external_id="person-0").account
    said: list[dict[str, str]] = []
    for number in range(PAIRS):
        task = next_task(person)
        assert judging.lease == str(task.lease)
        said.append(minds[0].choices(task))
        if number == 0:
            judging.watch_whole()
        judging.press(*(KEYS[said[-1][criterion]] for criterion in Criterion))
        if number < PAIRS - 1:
            judging.wait_until_next_is_fetched()
            judging.submit()
    judging.press("Enter")
    page.get_by_role("link", name="Go on to your completion code").click()
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_text("C0DE42")).to_be_visible()

    stored = StudyAnswer.objects.filter(task__seat__participant=person).order_by("task__position")
    for answer, choices in zip(stored.select_related("task"), said, strict=True):
        sides = {answer.task.first_side: Verdict.FIRST}
        meant = {c: Verdict.TIE if v == "tie" else sides.get(v, Verdict.SECOND) for c, v in choices.items()}
        assert {str(criterion): getattr(answer, criterion) for criterion in Criterion} == meant
        assert answer.evidence["input"] == "keys"
    shown = stored[0].evidence["coverage"]
    assert (shown["left"], shown["right"]) == (1, 1) and shown["references"][0] > 0
    assert StudyAnswer.objects.count() == PEOPLE * PAIRS

    report = visit(lea, f"/studies/{study.pk}/")
    for criterion, ranking in RANKINGS.items():
        panel = report.locator("section", has=report.get_by_role("heading", name=criterion.replace("_", " ")))
        names = panel.locator(".study-table tbody th").all_inner_texts()
        assert names == [SYSTEMS[system] for system in ranking], criterion
    for path in (None, "/studies/", f"/studies/from/{study.run_id}/"):
        if path:
            report.goto(path)
        assert serious_faults(report) == [], path


def serious_faults(page: Page) -> list[str]:
    faults = Axe().run(page).response["violations"]
    return [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")]


def test_keys_go_through_the_criteria_and_back_never_doubles(visit: Visit, transactional_db: None) -> None:
    study = open_study(make_evaluation(instances=[make_instance()]), pairs=2, people=1)
    judging = enter(page := visit(None, f"/enter/{study.link.token}/?PROLIFIC_PID=a"))
    current = page.locator(".criterion[data-current] legend b")
    expect(page.locator("[data-cell=reference] figcaption")).to_have_text("Primary reference 1 of 3")
    expect(current).to_have_text("Identity fidelity")
    judging.press("Enter")
    expect(page.locator(".hint")).to_have_text("Answer by each criterion.")
    judging.press("1", "3", "2")
    expect(current).to_have_text("Visual quality")
    assert judging.hint == "Still open: visual quality."
    page.reload()
    judging.wait_until_ready()
    expect(current).to_have_text("Visual quality")
    page.locator(".criterion[data-current]").get_by_label("Same").check()
    assert judging.hint == "Enter submits, Esc takes it back."
    judging.press("Escape")
    expect(current).to_have_text("Identity fidelity")
    judging.press("1", "1", "1", "1")
    assert serious_faults(page) == []
    # Without a connection the answer is kept, and the next pair is there.
    judging.wait_until_next_is_fetched()
    page.context.set_offline(True)
    judging.press("Enter")
    expect(page.locator(".own")).to_have_text("1 of 2 judged by you")
    page.context.set_offline(False)
    judging.wait_until_stored()
    page.go_back()
    page.go_forward()
    expect(page.locator(".own")).to_have_text("1 of 2 judged by you")
    judging.wait_until_ready()
    judging.press("2", "2", "2", "2", "Enter")
    expect(page.get_by_role("heading", name="That was the last pair")).to_be_visible()
    assert StudyAnswer.objects.count() == 2


def test_a_study_works_without_javascript(visit: Visit, transactional_db: None) -> None:
    study = open_study(make_evaluation(num_instances=1), pairs=1, people=1)
    page: Any = visit(None, f"/enter/{study.link.token}/?PROLIFIC_PID=a", java_script_enabled=False)
    page.get_by_role("button", name="I agree").click()
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".hint")).to_contain_text("Answer by visual quality, too")
    for criterion in Criterion:
        page.locator(f"[name={criterion}][value=left]").check()
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="That was the last pair")).to_be_visible()
    assert StudyAnswer.objects.count() == 1
