"""What each of several processes does, told one by one: no test here starts a second process."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from safetensors.torch import load_file  # noqa: E402

from generator.rundir import RunDir, RunError  # noqa: E402
from rlhf.training import processes  # noqa: E402
from rlhf.training.cache import fill  # noqa: E402


@pytest.fixture
def become(monkeypatch):
    """Makes this process the one of a rank; waiting for the others is only counted."""
    waited = []

    def become(rank, of):
        state = SimpleNamespace(
            is_main_process=rank == 0,
            process_index=rank,
            num_processes=of,
            wait_for_everyone=lambda: waited.append(rank),
            destroy_process_group=lambda: waited.append(f"{rank} has left"),
        )
        monkeypatch.setattr(processes, "PartialState", lambda **_: state)
        monkeypatch.setattr(processes, "_machine_of_each", lambda: [1] * of)
        monkeypatch.setattr(processes, "of_main", lambda item: item)
        return waited

    return become


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "run")
    run.create({"stage": "sft"})
    return run


def test_the_processes_of_a_run_share_its_folder_and_others_stay_out(run, become):
    waited = become(0, of=2)
    with processes.hold(run, attached=False) as request:
        assert request == {"stage": "sft"}
        become(1, of=2)
        with processes.hold(run, attached=False) as same:
            assert same == request
        assert waited == [1, "1 has left"], "nobody leaves before everybody is done"
        become(0, of=2)
        with pytest.raises(RunError, match="another process"), processes.hold(run, attached=False):
            pass


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_job_is_done_by_exactly_one_process(become, number):
    jobs, done = list(range(7)), []
    for rank in range(number):
        become(rank, of=number)
        done += jobs[processes.share()]
    assert sorted(done) == jobs


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("jobs", [[], [0], [0, 1, 2], list(range(7))], ids=len)
def test_in_step_all_do_equally_many_jobs_and_each_counts_once(become, number, jobs):
    taken = []
    for rank in range(number):
        become(rank, of=number)
        taken.append(processes.turns(jobs, in_step=True))
        assert processes.turns(jobs, in_step=False) == [(job, True) for job in jobs[processes.share()]]
    assert len({len(mine) for mine in taken}) == 1
    assert sorted(job for mine in taken for job, counts in mine if counts) == jobs


def test_a_cache_is_filled_by_all_and_ready_when_they_have_met(become, tmp_path):
    jobs = [(tmp_path / f"{n}.safetensors", lambda n=n: {"n": torch.tensor(n)}) for n in range(5)]
    for rank in (0, 1):
        waited = become(rank, of=2)
        fill(tmp_path, jobs)
    assert waited == [0, 1]
    assert [load_file(path)["n"].item() for path, _ in jobs] == [0, 1, 2, 3, 4]
    assert sorted(tmp_path.iterdir()) == [path for path, _ in jobs]


def test_a_cached_file_is_complete_or_absent(tmp_path):
    def fail():
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fill(tmp_path, [(tmp_path / "a.safetensors", fail)])
    assert list(tmp_path.iterdir()) == []
    fill(tmp_path, [(tmp_path / "a.safetensors", lambda: {"n": torch.tensor(1)})])
    fill(tmp_path, [(tmp_path / "a.safetensors", fail)])  # never asked for again


def test_one_process_asks_nobody(become):
    become(0, of=1)
    assert processes.any_of_us(True) and not processes.any_of_us(False)


def test_the_largest_count_of_all(become, monkeypatch):
    become(1, of=2)
    monkeypatch.setattr(processes, "gather_object", lambda own: [3, *own])
    assert (processes.most(2), processes.most(5)) == (3, 5)


def test_several_stop_together(become, monkeypatch):
    become(1, of=2)
    monkeypatch.setattr(processes, "gather_object", lambda own: [True, *own])
    assert processes.any_of_us(False)
