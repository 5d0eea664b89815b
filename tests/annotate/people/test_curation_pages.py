"""The pages of curators: every persona, every refusal, and what stays of what people decided."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from annotate.models import (
    AppliedThresholds,
    AuditEvent,
    Choice,
    CurationDecision,
    DifferentialPrompt,
    IdentityGroup,
    Instance,
    Reference,
    Use,
)
from annotate.people import queries as curation_queries
from annotate.people.filtering import apply_thresholds
from annotate.people.people import decide
from annotate.people.queries import annotation_path
from annotate.privacy.erasure import erase_identity
from generator.curation.annotation import (
    Box,
    ClipAnnotation,
    DetectorInfo,
    Face,
    FrameAnnotation,
    Human,
    save_annotation,
)
from tests.annotate.conftest import browser_of
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_group, make_instance, make_measures, make_reference, prompt_form

pytestmark = pytest.mark.django_db

LEADS_PAGES = ("/people/", "/people/thresholds/", "/people/{group}/", "/instances/{instance}/prompt/")
LEADS_ACTS = (
    "/people/{group}/describe/",
    "/people/{group}/primary/",
    "/people/{group}/curate/",
    "/references/{reference}/decide/",
)


@pytest.fixture
def anna() -> IdentityGroup:
    """A real person with a clean clip, a blurred one, and one that shows two people."""
    group = make_group(name="anna", truth=None)
    make_reference(group, source_name="clean.mp4", quality=make_measures())
    make_reference(group, source_name="soft.mp4", quality=make_measures(blur=4.0), reject_reasons=["blurred"])
    make_reference(
        group, source_name="two.mp4", quality=make_measures(max_faces=2), reject_reasons=["multi_face"]
    )
    return group


def address(page: str, group: IdentityGroup) -> str:
    reference = group.references.order_by("pk").first()
    instance = group.instances.first() or make_instance(group, num_references=1)
    assert reference is not None
    return page.format(group=group.pk, reference=reference.pk, instance=instance.pk)


def annotate(reference: Reference, num_frames: int = 9) -> None:
    """A record in which the face walks 4 pixels per frame."""
    frames = tuple(
        FrameAnnotation(
            index,
            (Face(Box(4.0 * index, 20, 12, 20), 0.9, None, 5.0, None, None, 100.0 + index),),
            (Human(Box(2, 2, 50, 60), True, None),),
        )
        for index in range(num_frames)
    )
    info = DetectorInfo("tests", "1", {})
    save_annotation(
        settings.STORAGE_ROOT / annotation_path(reference),
        ClipAnnotation(reference.sha256, 64, 64, num_frames, 8, ((0, num_frames),), frames, 1, info, info),
    )


@pytest.mark.parametrize("page", LEADS_PAGES)
def test_pages_of_curation_exist_only_for_leads(ana, lea, anna, page):
    page = address(page, anna)
    assert browser_of(lea).get(page).status_code == 200
    assert browser_of(lea).head(page).status_code == 200
    assert browser_of(ana).get(page).status_code == 404
    assert browser_of(None).get(page).headers["Location"].startswith("/login/")
    assert browser_of(lea).put(page).status_code == 405


@pytest.mark.parametrize("act", LEADS_ACTS)
def test_acts_of_curation_are_only_for_leads(ana, lea, anna, act):
    act = address(act, anna)
    assert browser_of(lea).get(act).status_code == 405
    assert browser_of(ana).post(act).status_code == 404
    assert browser_of(None).post(act).headers["Location"].startswith("/login/")
    assert not CurationDecision.objects.exists() and not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    "page", ["/people/999999/", "/instances/999999/prompt/", "/references/999999/annotation/"]
)
def test_what_nobody_imported_is_not_found(lea, page):
    assert browser_of(lea).get(page).status_code == 404


def test_boxes_are_for_leads_and_follow_the_frames(ana, lea, anna):
    clip = anna.references.get(source_name="clean.mp4")
    (settings.STORAGE_ROOT / annotation_path(clip)).unlink(missing_ok=True)  # Test clips share a folder.
    page = f"/references/{clip.pk}/annotation/"
    assert browser_of(lea).get(page).status_code == 404
    annotate(clip)
    answer = browser_of(lea).get(page)
    assert [frame["faces"][0]["left"] for frame in answer.json()["frames"]] == [4 * i for i in range(9)]
    assert answer.json()["frames"][0]["humans"][0]["is_estimated"]
    assert "no-store" in answer.headers["Cache-Control"]
    assert browser_of(ana).get(page).status_code == 404
    assert browser_of(None).get(page).status_code == 302
    assert "Sharpness: from 100 to 108" in browser_of(lea).get(f"/people/{anna.pk}/").content.decode()


def usable(group: IdentityGroup) -> set[str]:
    return set(curation_queries.usable_references().filter(group=group).values_list("source_name", flat=True))


def test_a_persons_word_goes_over_the_filters_and_can_be_taken_back(lea, anna):
    soft, clean = (anna.references.get(source_name=name) for name in ("soft.mp4", "clean.mp4"))
    lead = browser_of(lea)
    assert usable(anna) == {"clean.mp4"}
    answer = lead.post(f"/references/{soft.pk}/decide/", {"choice": "keep"})
    assert answer.headers["Location"] == f"/people/{anna.pk}/#reference-{soft.pk}"
    lead.post(f"/references/{clean.pk}/decide/", {"choice": "drop"})
    assert usable(anna) == {"soft.mp4"}
    lead.post(f"/references/{clean.pk}/decide/", {"choice": "drop"})
    assert clean.decisions.count() == 1, "saying it twice is one decision"
    lead.post(f"/references/{clean.pk}/decide/", {"choice": "automatic"})
    lead.post(f"/references/{clean.pk}/decide/", {"choice": "perhaps"})
    assert usable(anna) == {"soft.mp4", "clean.mp4"}
    assert list(clean.decisions.values_list("choice", "author__username")) == [
        ("drop", "lea"),
        ("automatic", "lea"),
    ]


def test_undo_names_what_held_before(lea, anna):
    clip = anna.references.get(source_name="clean.mp4")
    for choice in (Choice.KEEP, Choice.DROP):
        decide(clip, choice, lea)
    page = browser_of(lea).get(f"/people/{anna.pk}/").content.decode()
    assert 'value="keep" aria-label="Undo the decision on clean.mp4"' in page
    assert "Dropped by lea" in page


def test_the_database_keeps_every_decision(lea, anna):
    decision = decide(anna.references.first(), Choice.DROP, lea)
    for act in (lambda: decision.delete(), lambda: CurationDecision.objects.update(choice="keep")):
        with pytest.raises(DatabaseError, match="append_only"), transaction.atomic():
            act()
    with pytest.raises(IntegrityError, match="choice_known"), transaction.atomic():
        CurationDecision.objects.create(reference=anna.references.first(), choice="maybe", author=lea)


def test_expired_consent_ends_the_use(lea, anna):
    lead = browser_of(lea)
    values = {"source": "studio", "licence": "CC-BY-4.0", "consent_note": "signed form 7"}
    values |= {"consent": "stated", "consent_uses": Use.values}
    lead.post(f"/people/{anna.pk}/describe/", values | {"consent_expires_on": "2001-01-31"})
    assert usable(anna) == set()
    lead.post(f"/people/{anna.pk}/describe/", values | {"consent_expires_on": ""})
    assert usable(anna) == {"clean.mp4"}
    anna.refresh_from_db()
    assert (anna.source, anna.licence, anna.consent_note) == ("studio", "CC-BY-4.0", "signed form 7")
    assert (anna.consent_stated_by, anna.consent_stated_in) == (lea, "")
    events = AuditEvent.objects.filter(verb="describe_person", row_id=anna.pk, actor=lea)
    assert events.count() == 2
    assert events.last().detail["changed"] == {"consent_expires_on": ["2001-01-31", ""]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"consent_expires_on": "soon"}, "is not a day"),
        ({"source": " "}, "source is empty"),
        (
            {"consent": "stated", "consent_uses": ["sell"]},
            "is unknown; the uses are show, train",
        ),
        ({"consent_uses": ["show"]}, "uses are ticked, and nobody is said to have stated them"),
        ({"licence": "x" * 201}, "201 characters"),
        ({"source": "elsewhere"}, "has a person called"),
    ],
)
def test_a_wrong_word_on_a_person_is_explained_and_not_lost(lea, anna, changes, says):
    make_group(name="anna", source="elsewhere")
    values = {"source": anna.source, "licence": "", "consent_note": "typed", "consent_expires_on": ""}
    answer = browser_of(lea).post(f"/people/{anna.pk}/describe/", values | changes)
    assert answer.status_code == 422
    assert says in answer.content.decode() and 'value="typed"' in answer.content.decode()
    anna.refresh_from_db()
    assert anna.consent_note == "" and anna.consent_uses == Use.values


def test_the_primary_is_the_best_rated_one_until_somebody_chooses(lea, anna):
    best = make_reference(anna, quality=make_measures(face_px=250.0), source_name="large.mp4")
    clean = anna.references.get(source_name="clean.mp4")
    lead = browser_of(lea)
    page = lead.get(f"/people/{anna.pk}/").content.decode()
    assert curation_queries.primary_of(anna) == best
    assert "The face is 250 pixels wide." in page and "best rated" in page
    lead.post(f"/people/{anna.pk}/primary/", {"reference": clean.pk})
    anna.refresh_from_db()
    assert curation_queries.primary_of(anna) == clean
    decide(clean, Choice.DROP, lea)
    assert curation_queries.primary_of(anna) == best, "a dropped reference is no primary"
    lead.post(f"/people/{anna.pk}/primary/", {"reference": ""})
    anna.refresh_from_db()
    assert anna.primary is None
    assert AuditEvent.objects.filter(verb="choose_primary").count() == 2


def test_nobody_gets_another_persons_primary(lea, anna):
    other = make_reference(make_group())
    browser_of(lea).post(f"/people/{anna.pk}/primary/", {"reference": other.pk})
    anna.refresh_from_db()
    assert anna.primary is None
    with pytest.raises(IntegrityError, match="a primary is a reference of its person"), transaction.atomic():
        IdentityGroup.objects.filter(pk=anna.pk).update(primary=other)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"anna", "bert", "cleo"}),
        ("?state=pending", {"bert"}),
        ("?state=unusable", {"bert", "cleo"}),
        ("?reason=multi_face", {"anna"}),
        ("?reason=no_face", {"cleo"}),
        ("?split=eval", {"cleo"}),
        ("?search=BER", {"bert"}),
        ("?search=BER&split=eval", set()),
        ("?state=nonsense&reason=x&split=y&after=99", {"anna", "bert", "cleo"}),
        ("?search=%00", {"anna", "bert", "cleo"}),
    ],
)
def test_the_grid_is_narrowed_down(lea, anna, query, found):
    make_reference(make_group(name="bert", truth=None), curation="pending")
    make_reference(make_group(name="cleo", truth=None, split="eval"), reject_reasons=["no_face"])
    answer = browser_of(lea).get(f"/people/{query}")
    assert {group.name for group in answer.context["people"]} == found


def test_the_next_page_keeps_what_the_grid_is_narrowed_to(lea, anna, monkeypatch):
    monkeypatch.setattr("annotate.people.views.PEOPLE_PER_PAGE", 1)
    make_reference(make_group(name="annika", truth=None))
    first = browser_of(lea).get("/people/?search=an")
    after = first.context["part"].after
    assert f'rel="next" href="?{urlencode({"search": "an", "after": after})}"'.replace("&", "&amp;") in (
        first.content.decode()
    )
    second = browser_of(lea).get("/people/", {"search": "an", "after": after})
    assert [group.name for group in (*first.context["people"], *second.context["people"])] == [
        "anna",
        "annika",
    ]
    assert 'href="?search=an">First' in second.content.decode()


def test_progress_is_polled_only_while_something_is_under_way(lea, anna):
    lead = browser_of(lea)
    assert "every 2s" not in lead.get("/people/").content.decode()
    make_reference(anna, curation="pending")
    for page in ("/people/", f"/people/{anna.pk}/"):
        assert "every 2s" in lead.get(page).content.decode()
        part = lead.get(page, headers={"HX-Request": "true"}).content.decode()
        assert "every 2s" in part and "<html" not in part
    assert "3 of 4" in lead.get("/people/").content.decode()


def test_looking_again_queues_what_has_ended(lea, anna, monkeypatch):
    sent: list[int] = []
    monkeypatch.setattr("annotate.people.tasks.curate_reference.delay_on_commit", sent.append)
    failed = make_reference(anna, curation="failed", curation_error="no weights")
    browser_of(lea).post(f"/people/{anna.pk}/curate/")
    assert sorted(sent) == sorted(anna.references.values_list("pk", flat=True))
    assert set(anna.references.values_list("curation", flat=True)) == {"pending"}
    failed.refresh_from_db()
    assert failed.curation_error == ""
    browser_of(lea).post(f"/people/{anna.pk}/curate/")
    assert len(sent) == 4, "what is queued is not queued again"


def test_thresholds_are_tried_before_they_hold(lea, anna):
    lead = browser_of(lea)
    page = lead.get("/people/thresholds/?min_blur=2")
    row = next(row for row in page.context["rows"] if row.name == "min_blur")
    assert (row.now, row.tried, row.at_tried.costs, row.at_tried.kept) == (10.0, 2.0, 0, 2)
    assert usable(anna) == {"clean.mp4"}, "looking changes nothing"
    lead.post("/people/thresholds/", {"min_blur": "2", "max_faces": "2"})
    assert usable(anna) == {"clean.mp4"}, "a worker does it"
    assert do_jobs().outcome == "The thresholds hold now; 2 references got other reasons."
    assert usable(anna) == {"clean.mp4", "soft.mp4", "two.mp4"}
    assert curation_queries.thresholds_now().max_faces == 2
    lead.post("/people/thresholds/", {"min_blur": "300"})
    do_jobs()
    assert usable(anna) == set()
    assert AppliedThresholds.objects.count() == 2
    assert AuditEvent.objects.filter(verb="apply_thresholds").last().detail["changed"] == 3


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"min_blur": "much"}, "is not such a number"),
        ({"max_yaw": "200"}, "Turn of the head, degrees, at most: 200.0; it must be"),
        ({"max_faces": "1.5"}, "is not such a number"),
        ({"min_face_px": "nan"}, "Face, pixels, at least: nan; it must be"),
    ],
)
def test_a_wrong_threshold_is_explained(lea, anna, values, says):
    for answer in (
        browser_of(lea).get("/people/thresholds/", values),
        browser_of(lea).post("/people/thresholds/", values),
    ):
        page = answer.content.decode()
        assert answer.status_code == 422 and says in page
        assert all(f'value="{value}"' in page for value in values.values()), "what was entered stays"
    assert not AppliedThresholds.objects.exists()


def test_drawn_people_are_never_filtered(lea):
    group = make_group(truth={"identity_seed": 1})
    make_reference(group, quality=make_measures(face_px=20.0))
    apply_thresholds({"min_face_px": 100.0}, lea)
    assert group.references.get().reject_reasons == []


@pytest.mark.parametrize("page", ["/people/", "/people/{group}/", "/people/thresholds/"])
def test_a_page_of_curation_asks_no_more_questions_for_more_rows(lea, anna, page):
    browser = browser_of(lea)
    page = address(page, anna)
    browser.get(page)
    with CaptureQueriesContext(connection) as few:
        browser.get(page)
    for number in range(5):
        reference = make_reference(anna, quality=make_measures())
        annotate(reference)
        decide(reference, Choice.DROP, lea)
        make_reference(make_group(name=f"p{number}"), quality=make_measures())
    with CaptureQueriesContext(connection) as many:
        browser.get(page)
    assert len(many) <= len(few)


def test_erasing_a_person_takes_decisions_annotations_and_every_version_of_prompts(lea, anna):
    clip = anna.references.get(source_name="clean.mp4")
    instance = make_instance(anna, num_references=1)
    form = prompt_form(instance, text="Everything happens at the beach.")
    browser_of(lea).post(f"/instances/{instance.pk}/prompt/", form)
    decide(clip, Choice.KEEP, lea)
    browser_of(lea).post(f"/people/{anna.pk}/primary/", {"reference": clip.pk})
    annotate(clip)
    path = settings.STORAGE_ROOT / annotation_path(clip)
    erase_identity("anna", really=True)
    for table in (IdentityGroup, Reference, CurationDecision, DifferentialPrompt, Instance):
        assert not table.objects.exists(), table
    assert not path.exists()
