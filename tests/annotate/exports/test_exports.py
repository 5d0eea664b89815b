"""An export's page, and the ways to take it along."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from annotate.exports.files import FORMS
from annotate.exports.freezing import export_round
from annotate.models import AuditEvent, Export
from rlhf.export.formats import ExportFormat, write_format
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_round
from tests.versions import judged_round, train

pytestmark = pytest.mark.django_db


@pytest.fixture
def export() -> Export:
    return export_round(judged_round())


def taken(browser, export: Export, form: str) -> zipfile.ZipFile:
    answer = browser.get(f"/exports/{export.pk}/download/{form}/")
    content = b"".join(answer.streaming_content)
    assert int(answer.headers["Content-Length"]) == len(content)
    return zipfile.ZipFile(io.BytesIO(content))


def test_its_page_tells_what_it_holds_and_what_came_of_it(lea, export):
    version = train(export.round, export)
    page = browser_of(lea).get(f"/exports/{export.pk}/").content.decode()
    assert "A frozen set of 1 pair, rule pareto" in page
    assert "4 by 4 people" in page and "simulated votes</td>" in page
    assert version.name in page and export.content_hash[:12] in page
    assert all(f"/exports/{export.pk}/download/{form}/" in page for form in FORMS)


@pytest.mark.parametrize("form", FORMS)
def test_a_download_is_the_folder_that_the_command_writes(lea, export, tmp_path, form):
    folder = settings.STORAGE_ROOT / export.folder
    if form != "set":
        folder = write_format(folder, tmp_path / "out", ExportFormat(form))
    expected = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with taken(browser_of(lea), export, form) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == expected
    event = AuditEvent.objects.get(verb="download_export")
    assert (event.actor, event.row_id, event.detail) == (lea, export.pk, {"form": form})


def test_a_program_takes_it_along(lea, ana, export):
    answer = machine_of(lea).get(f"/api/exports/{export.pk}/trl/")
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert json.loads(archive.read("format.json"))["set"] == export.content_hash
    assert machine_of(lea).get(f"/api/exports/{export.pk}/pickle/").status_code == 404
    assert machine_of(ana).get(f"/api/exports/{export.pk}/trl/").status_code == 404
    assert machine_of(None).get(f"/api/exports/{export.pk}/trl/").status_code == 401
    Export.objects.filter(pk=export.pk).update(withdrawn="at a person's wish")
    answer = machine_of(lea).get(f"/api/exports/{export.pk}/trl/")
    assert answer.status_code == 409 and "export the round again" in answer.json()["detail"]


def test_only_leads_take_it_along(ana, export):
    for address in ("", "download/trl/"):
        assert browser_of(ana).get(f"/exports/{export.pk}/{address}").status_code == 404
        assert browser_of(None).get(f"/exports/{export.pk}/{address}").status_code == 302
    assert not AuditEvent.objects.filter(verb="download_export").exists()


def test_what_cannot_be_taken_says_why(lea, export):
    browser = browser_of(lea)
    assert browser.get(f"/exports/{export.pk}/download/pickle/").status_code == 404
    clip = next((settings.STORAGE_ROOT / export.folder / "media").iterdir())
    content = clip.read_bytes()
    clip.unlink()
    page = browser.get(f"/exports/{export.pk}/download/trl/", follow=True).content.decode()
    assert clip.name in page and f"put its folder {export.folder} back" in page
    clip.write_bytes(content)
    Export.objects.filter(pk=export.pk).update(withdrawn="at a person's wish")
    page = browser.get(f"/exports/{export.pk}/download/trl/", follow=True).content.decode()
    assert "was withdrawn" in page and "export the round again" in page
    assert "download/trl/" not in page


def test_an_export_without_pairs_offers_nothing(lea):
    export = export_round(make_round())
    page = browser_of(lea).get(f"/exports/{export.pk}/").content.decode()
    assert "It holds no pair. Collect more votes" in page and "Train on it" not in page


def test_the_command_writes_a_format(tmp_path, capsys):
    round = judged_round()
    named = {"round": round.name, "json": True}
    call_command("export_pairs", format="diffusion-dpo", out=tmp_path / "out", **named)
    told = json.loads(capsys.readouterr().out)
    description = json.loads((tmp_path / "out/format.json").read_text())
    assert told["written"] == str(tmp_path / "out") and description["set"] == told["content_hash"]
    for path, sha256 in description["sha256"].items():
        assert hashlib.sha256((tmp_path / "out" / path).read_bytes()).hexdigest() == sha256
    with pytest.raises(CommandError, match="give both, or neither"):
        call_command("export_pairs", format="trl", **named)
