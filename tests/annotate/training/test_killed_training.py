"""The loop on a machine that has no database, through everything that can be killed under it.

Workers know the broker and a bucket. Each has an empty folder of its own, and the site's folder is gone. What
is killed is killed by SIGKILL, and yet the same adapter comes out, and nothing is left.
"""

from __future__ import annotations

import resource
import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings as site_settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from annotate.evaluation.evaluations import queue_evaluation
from annotate.exports.freezing import export_round
from annotate.fleet.commands import LOG
from annotate.fleet.run_folders import work_folder
from annotate.jobs import runs
from annotate.judging.slots import lease_slot
from annotate.models import Instance, ModelVersion, Round, Run, RunStatus, User
from annotate.rounds.rounds import plan_pairs
from annotate.rounds.sampling import queue_sampling
from annotate.storage.opening import site_storage
from annotate.training.dpo import queue_dpo
from generator.rundir import RunDir
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of, store_clips
from tests.annotate.live_site import PATIENCE_S, LiveSite, wait_until
from tests.factories import SAMPLER, make_group, make_instance, make_model, make_round, make_user
from tests.object_store import CREDENTIALS, ObjectStore
from tests.votes import judge

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

CONFIG = {"steps": 60, "batch_size": 1, "save_every": 2, "rank": 2, "held_out": 0.4, "evaluate_every": 10}
#: Stores checkpoints at once, since this training does not take minutes.
WORKER = """
from annotate.fleet import run_folders
run_folders.STORE_S = run_folders.STORE_CHECKPOINTS_S = 0.3
from annotate.fleet.__main__ import main
main(["--serve", "runs"])
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """One layer with random weights, which the workers have."""
    pytest.importorskip("torch")
    from generator.portraits.tiny import build_tiny_pipeline, build_transformer

    pipeline = build_tiny_pipeline()
    pipeline.register_modules(transformer=build_transformer(layers=1))
    pipeline.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def round(model: Path, object_store: ObjectStore, settings: Any, tmp_path: Path) -> Round:
    """Three pairs to be made, and somebody to evaluate on, with everything in a bucket."""
    settings.STORAGE, settings.STORAGE_CREDENTIALS = object_store.address(), CREDENTIALS
    settings.STORAGE_ROOT = tmp_path / "site"
    sampler = vars(replace(SAMPLER, num_inference_steps=2))
    round = make_round(policy=make_model(base_model=str(model)), dpo=CONFIG, sampler=sampler)
    plan_pairs(round, [make_instance(num_references=1) for _ in range(3)])
    make_instance(make_group(split="eval"), num_references=1)
    store_clips(site_storage())
    shutil.rmtree(settings.STORAGE_ROOT)
    return round


@pytest.fixture
def site(round: Round, tmp_path: Path) -> Iterator[LiveSite]:
    address = site_settings.STORAGE
    named = {f"AWS_{name.upper()}": value for name, value in CREDENTIALS.items()}
    named["STORAGE_URL"] = f"{address}?endpoint={address.endpoint}&style=path"
    site = LiveSite(tmp_path, **named)
    yield site
    site.end()


def send(site: LiveSite, run: Run) -> None:
    site.send("annotate.jobs.tasks.send_whole_run", "default", run.pk)


def lines(run: Run) -> int:
    return run.metrics.count()


def training_of(site: LiveSite, run: Run) -> psutil.Process:
    """The command, wherever it hangs in the tree of processes, held after three more steps that are known.

    It is held so that a busy machine does not come to its end before the site knows of its middle.
    """
    before = lines(run)
    wait_until(lambda: bool(_trainings(site)), "a training")
    (training,) = _trainings(site)
    folder = RunDir(Path(training.cmdline()[-2]))
    wait_until(lambda: len(folder.read_metrics()) >= before + 3, "three more steps")
    training.suspend()
    wait_until(lambda: lines(run) >= before + 3, "three more steps that are known")
    return training


def _trainings(site: LiveSite) -> list[psutil.Process]:
    return [process for process in site.family() if "rlhf.dpo" in process.cmdline()]


def status(run: Run) -> str:
    return str(Run.objects.values_list("status", flat=True).get(pk=run.pk))


def wait_for_end(run: Run) -> None:
    wait_until(lambda: status(run) not in ("queued", "running"), f"the end of {run}")
    run.refresh_from_db()
    assert run.status == RunStatus.DONE, run.error


def page_of(run: Run, lead: User) -> str:
    return str(browser_of(lead).get(f"/runs/{run.pk}/").content.decode())


def vote_all() -> None:
    for track in Track:
        person = make_user()
        while (slot := lease_slot(person, track)) is not None:
            judge(slot, Verdict.FIRST)


def train_undisturbed(run: Run) -> str:
    """The hash of the adapter that the same request gives, undisturbed, and with its own cache."""
    from rlhf.dpo.run import main

    with work_folder(site_storage(), run.folder) as folder:
        other = RunDir(folder.path.with_name("undisturbed"))
        other.create({name: value for name, value in folder.read_request().items() if name != "cache"})
        main(other, False)
        return str(other.read_result()["adapter_sha256"])


def kill_training(site: LiveSite, run: Run, lead: User) -> None:
    """The run failed, and says by what."""
    send(site, run)
    training_of(site, run).kill()
    wait_until(lambda: status(run) == RunStatus.FAILED, "the end of the run")
    page = page_of(run, lead)
    assert "ended by SIGKILL, most often because memory ran out" in page
    assert "Go on from the last checkpoint" in page and "gradient_checkpointing on" in page


def fill_disk(site: LiveSite, run: Run, lead: User) -> None:
    """No file of the training may grow any more."""
    assert runs.retry_run(run)
    send(site, run)
    training = training_of(site, run)
    room = (Path(training.cmdline()[-2]) / LOG).stat().st_size + 16_384  # for the last word
    resource.prlimit(training.pid, resource.RLIMIT_FSIZE, (room, room))
    training.resume()
    wait_until(lambda: status(run) == RunStatus.FAILED, "the end of the run")
    assert "Free space on the disk" in page_of(run, lead)


def kill_worker(site: LiveSite, run: Run, lead: User, first: psutil.Process) -> psutil.Process:
    """The page says what is known until another worker, which this gives, takes the run up again."""
    assert runs.retry_run(run)
    send(site, run)
    training = training_of(site, run)
    first.kill()
    training.resume()
    psutil.wait_procs([first, training], PATIENCE_S)
    assert not training.is_running()
    assert status(run) == RunStatus.RUNNING and "Last sign of life" in page_of(run, lead)
    assert f"from runs@{socket.gethostname()}, " in page_of(run, lead)
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=2))
    assert "its worker is lost" in page_of(run, lead)
    assert runs.requeue_lost_runs() == [run.pk]
    second = site.start_python("other", "-c", WORKER)
    send(site, run)
    return second


def test_the_loop_runs_without_the_database_and_survives_whatever_is_killed(
    round: Round, site: LiveSite
) -> None:
    lead = make_user("lea", role=User.Role.LEAD)
    redis = site.start_site()
    sampler = site.start_python("sampler", "-m", "annotate.fleet", "--serve", "cpu")
    first = site.start_python("one", "-c", WORKER)

    sampling = queue_sampling(round)
    assert sampling is not None
    site.send("annotate.jobs.tasks.send_shards", "default")
    wait_for_end(sampling)
    vote_all()
    run = queue_dpo(round, export_round(round), lead)

    kill_training(site, run, lead)
    fill_disk(site, run, lead)
    second = kill_worker(site, run, lead, first)

    # Redis: the run under way does not need it.
    training = training_of(site, run)
    redis.kill()
    redis.wait()
    with pytest.raises(OperationalError):
        send(site, run)
    assert status(run) == RunStatus.RUNNING
    site.start_redis()
    training.resume()
    wait_for_end(run)
    version = ModelVersion.objects.get(kind="dpo")
    assert version.weights_sha256 == train_undisturbed(run)
    assert "Its model is" in page_of(run, lead)

    held_out = Instance.objects.filter(group__split="eval")
    evaluation = queue_evaluation(round, version, baseline=round.policy, seeds=[0], instances=[*held_out])
    site.send("annotate.jobs.tasks.send_shards", "default")  # their report at the end has the run sent
    wait_for_end(evaluation)
    assert len(evaluation.result["videos"]) == 2

    for process in (sampler, second):
        assert not {"DATABASE_URL", "SECRET_KEY"} & process.environ().keys()
        assert str(site_settings.STORAGE_ROOT) not in str(process.environ())
        process.send_signal(signal.SIGTERM)
    assert psutil.wait_procs([sampler, second], PATIENCE_S)[1] == []
    assert not list(site_settings.STORAGE_ROOT.rglob("*.mp4")), "nothing came back to the site's folder"
