"""The page of a run tells the truth: how far it is, why it ended, and what helps."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from annotate.exports.freezing import export_round
from annotate.fleet.commands import why_it_ended
from annotate.jobs import runs
from annotate.jobs.run_logs import log_tail
from annotate.models import Run, RunStatus
from annotate.rounds.sampling import queue_sampling
from annotate.templatetags.run_figures import duration
from annotate.training.dpo import queue_dpo
from annotate.training.run_clips import clip_path
from annotate.training.run_curves import plots_by_time, run_plots
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of
from tests.factories import make_pair, make_round
from tests.votes import vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Run:
    """Flow-DPO on one pair, claimed by a worker."""
    pair = make_pair(make_round(dpo={"batch_size": 4}))
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    queued = queue_dpo(pair.round, export_round(pair.round))
    claimed = runs.claim_run(queued.pk, uuid4())
    assert claimed is not None
    return claimed


def line(step: int, **others: float) -> dict[str, float]:
    quarters = {f"drift/chosen/quartile_{n}": n / 100 for n in range(1, 5)}
    figures = {"loss": 0.7 - step / 100, "drift/chosen": 0.01 * step, "drift/rejected": 0.02 * step}
    return {"step": step, "steps": 40, "seconds": 3.0, **figures, **quarters, **others}


def page_of(run: Run, person) -> str:
    answer = browser_of(person).get(f"/runs/{run.pk}/")
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def fail(run: Run, error: str) -> None:
    assert run.worker is not None and runs.end_run(run, run.worker, RunStatus.FAILED, error)


def test_it_follows_a_run(lea, run):
    for step in (1, 2):
        runs.run_dir(run).append_metrics(line(step, **({"held_out/loss": 0.69} if step == 2 else {})))
    runs.follow_run(run)
    (runs.run_dir(run).path / "log.txt").write_text("beta 250\n 10%|#\r 20%|##\r\n\n")
    page = page_of(run, lea)
    assert "2 of 40" in page and "about 1 min 54 s of steps left" in page and "every 2s" in page
    assert "Loss (ln 2 where nothing moved)" in page and "held out" in page
    assert "Chosen drift by quarter" in page and "noisiest" in page and "Guard" not in page
    assert "beta 250" in page and "20%" in page and "10%" not in page
    assert "batch_size" in page and "Go on from" not in page
    part = browser_of(lea).get(f"/runs/{run.pk}/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part and "2 of 40" in part


def test_a_failure_gives_reason_log_and_the_way_on(lea, run, monkeypatch):
    runs.run_dir(run).append_metrics(line(1))
    runs.follow_run(run)
    (runs.run_dir(run).path / "log.txt").write_text("one\ntwo\nerror: the loss is nan; lower learning_rate\n")
    fail(run, why_it_ended(runs.run_dir(run).path, 1))
    page = page_of(run, lea)
    assert page.count("error: the loss is nan; lower learning_rate") == 2 and "two" in page
    assert "Go on from the last checkpoint" in page and "every 2s" not in page
    sent: list[int] = []
    monkeypatch.setattr("annotate.jobs.tasks.send_whole_run.delay_on_commit", sent.append)
    answer = browser_of(lea).post(f"/runs/{run.pk}/retry/", {"from": "run"})
    assert answer.headers["Location"] == f"/runs/{run.pk}/" and sent == [run.pk]


def test_a_run_is_not_tried_again_beside_another_one(lea, run):
    fail(run, "the loss is nan")
    other = queue_dpo(run.round, run.export, config={"seed": 1})
    assert "Try again" not in page_of(run, lea)
    page = browser_of(lea).post(f"/runs/{run.pk}/retry/", {"from": "run"}, follow=True).content.decode()
    assert "while no other dpo run is under way" in page
    assert runs.cancel_run(other) and "Try again" in page_of(run, lea)
    assert runs.retry_run(run)


@pytest.mark.parametrize(
    ("returncode", "last"),
    [(-9, "beta 250"), (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.")],
)
def test_want_of_memory_suggests_the_setting_that_fits(lea, run, returncode, last):
    (runs.run_dir(run).path / "log.txt").write_text(f"Traceback\n{last}\n")
    fail(run, why_it_ended(runs.run_dir(run).path, returncode))
    assert ("SIGKILL" in run_error(run)) == (returncode == -9)
    page = page_of(run, lea)
    assert "with gradient_checkpointing on, kept_activations attention it needs less" in page
    address = page.split('<a href="/rounds/')[-1].split('"')[0]
    launch = unescape(browser_of(lea).get(f"/rounds/{address}").content.decode())
    assert '<option value="on" selected>on</option>' in launch
    assert 'type="hidden" name="gradient_checkpointing" value="on"' in launch
    assert 'type="hidden" name="batch_size" value="4"' in launch


def run_error(run: Run) -> str:
    return str(Run.objects.values_list("error", flat=True).get(pk=run.pk))


@pytest.mark.parametrize(
    "last",
    [
        "error: [Errno 28] No space left on device",
        "RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534",
    ],
)
def test_a_full_disk_is_named(lea, run, monkeypatch, last):
    (runs.run_dir(run).path / "log.txt").write_text(f"{last}\n")
    fail(run, why_it_ended(runs.run_dir(run).path, 1))
    assert "Free space on the disk" in page_of(run, lea)
    monkeypatch.setattr("annotate.fleet.commands.FULL_BYTES", 1 << 60)
    assert why_it_ended(runs.run_dir(run).path, 1).startswith("No space left on the disk")


def test_without_a_log_the_status_has_to_do(run):
    assert log_tail(run) == []
    assert why_it_ended(runs.run_dir(run).path, 3) == "the command ended with 3"
    assert why_it_ended(runs.run_dir(run).path, -15) == "the command was ended by SIGTERM"


def test_an_early_end_says_why(lea, run):
    runs.run_dir(run).append_metrics(line(1))
    runs.run_dir(run).write_result(
        {
            "adapter": "adapter",
            "adapter_sha256": "a" * 64,
            "num_pairs": 1,
            "early_end": "the error on held-out chosen videos is 1.20% above the frozen policy's",
            "result_step": 25,
        }
    )
    assert run.worker is not None and runs.finish_run(run, run.worker)
    page = page_of(run, lea)
    assert "It ended early:" in page and "1.20% above" in page and "step 25" in page
    assert Run.objects.get(pk=run.pk).model_version.name in page


def test_a_run_without_a_sign_of_life_says_since_when(lea, run):
    assert "Last sign of life" in page_of(run, lea)
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=17))
    assert "No sign of life for 17 min: its worker is lost" in page_of(run, lea)


def test_without_a_broker_a_run_is_queued_all_the_same(lea, run, monkeypatch):
    """What Celery raises then is shown where a real Redis is killed, in test_killed_training.py."""

    def nobody(run_id: int) -> None:
        raise OperationalError("Error 2 connecting to unix socket")

    monkeypatch.setattr("annotate.jobs.tasks.send_whole_run.delay_on_commit", nobody)
    fail(run, "killed")
    answer = browser_of(lea).post(f"/runs/{run.pk}/retry/", {"from": "run"}, follow=True)
    assert answer.status_code == 200 and "a worker takes it next" in answer.content.decode()
    Run.objects.update(queued_at=timezone.now() - timedelta(minutes=2))
    assert runs.requeue_lost_runs() == [run.pk]


def test_samples_stand_beside_the_parents(lea, ana, run):
    assert "This run makes none" in page_of(run, lea)
    pair = run.round.pairs.get()
    clip = (settings.STORAGE_ROOT / pair.first.path).read_bytes()
    for step in (0, 10, 20, 30, 40, 50):
        place = settings.STORAGE_ROOT / clip_path(run, step, pair.pk)
        place.parent.mkdir(parents=True)
        place.write_bytes(clip)
    page = page_of(run, lea)
    addresses = re.findall(r'src="(/media/runs/[^"]+)"', page)
    assert addresses == [f"/media/runs/{run.pk}/{step}/{pair.pk}" for step in (0, 30, 40, 50)]
    assert "parent</figcaption>" in page and pair.instance.prompt.text in page
    assert b"".join(browser_of(lea).get(addresses[0]).streaming_content) == clip
    assert browser_of(lea).get(f"/media/runs/{run.pk}/7/{pair.pk}").status_code == 404
    for stranger in (ana, None):
        assert browser_of(stranger).get(addresses[0]).status_code == 404


def test_a_page_of_another_stage_has_no_curves(lea):
    pair = make_pair(is_made=False)
    run = queue_sampling(pair.round)
    assert run is not None and "<h2>Curves" not in page_of(run, lea)


def test_every_figure_of_the_trainer_that_a_page_plots_is_drawn():
    rows = [line(1), line(2)]
    assert [len(one.last) for one in plots_by_time(rows)] == [4]
    assert {one.title.split(" ")[0] for one in run_plots(rows)} == {"Loss", "Drift"}
    assert run_plots([]) == []


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (None, "–"),
        (0.314, "0.31 s"),
        (45.2, "45 s"),
        (192, "3 min 12 s"),
        (1500, "25 min"),
        (4800, "1 h 20 min"),
    ],
)
def test_durations_read_well(seconds, says):
    assert duration(seconds) == says
