"""Benchmark sets: equal plans give equal bytes, every instance is true, and what was altered is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from generator.files import file_sha256
from generator.frozen_set import FrozenSetError
from generator.frozen_table import rows_sha256
from generator.portraits.__main__ import write_people
from generator.records import ELEMENTS
from rlhf.evaluation.benchmark.card import BenchmarkError, Card
from rlhf.evaluation.benchmark.commands import main
from rlhf.evaluation.benchmark.people import pair_up
from rlhf.evaluation.benchmark.plan import MakePlan
from rlhf.evaluation.benchmark.portraits import make_portraits
from rlhf.evaluation.benchmark.set import Benchmark, check_same, read_benchmark, write_benchmark
from rlhf.evaluation.records import EvaluationInstance, Task

PLAN = MakePlan(num_identities=3, num_ipt2v=4, num_iept2v=5, seed=2, seeds=(0, 7))


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return make_portraits(tmp_path_factory.mktemp("sets") / "portraits", PLAN)


def copy_of(benchmark: Benchmark, folder: Path) -> Path:
    media = [benchmark.folder / "media" / path.name for path in (benchmark.folder / "media").iterdir()]
    (folder / "media").mkdir(parents=True)
    for path in media:
        (folder / "media" / path.name).write_bytes(path.read_bytes())
    for name in ("benchmark.json", "instances.parquet"):
        (folder / name).write_bytes((benchmark.folder / name).read_bytes())
    return folder


def rewrite(folder: Path, **changes: object) -> None:
    """Change the first row, and let every hash say so: only the row's own sense can still be refused."""
    table = pq.read_table(folder / "instances.parquet")
    rows = table.to_pylist()
    rows[0] |= changes
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / "instances.parquet")
    card = Card(**json.loads((folder / "benchmark.json").read_text()))
    card = replace(card, rows_sha256=rows_sha256(rows), sha256="")
    (folder / "benchmark.json").write_text(json.dumps(asdict(card)))


@pytest.mark.slow
def test_equal_plans_give_equal_bytes(portraits: Benchmark, tmp_path: Path) -> None:
    again = make_portraits(tmp_path / "again", PLAN)
    assert again.identity == portraits.identity and again.seeds == (0, 7)
    for file in sorted(portraits.folder.rglob("*")):
        if file.is_file():
            assert file.read_bytes() == (again.folder / file.relative_to(portraits.folder)).read_bytes()
    before = {path: path.stat().st_mtime_ns for path in again.folder.rglob("*")}
    make_portraits(again.folder, PLAN)
    assert {path: path.stat().st_mtime_ns for path in again.folder.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["again"], "nothing half-made is left"
    with pytest.raises(FrozenSetError, match="holds another benchmark set .*; write into a new folder"):
        make_portraits(again.folder, replace(PLAN, num_ipt2v=3))


def test_another_seed_gives_other_people(portraits: Benchmark, tmp_path: Path) -> None:
    other = make_portraits(tmp_path / "other", replace(PLAN, seed=3))
    people = [{instance.identity for instance in found.instances} for found in (portraits, other)]
    assert len(people[0]) == len(people[1]) == 3 and not people[0] & people[1]
    with pytest.raises(BenchmarkError, match=r"portraits \(\w{12}\) and portraits \(\w{12}\) are different"):
        check_same(portraits.identity, other.identity)
    check_same(portraits.identity, read_benchmark(portraits.folder).identity)


def test_instances_ask_for_what_the_primary_does_not_show(portraits: Benchmark, tmp_path: Path) -> None:
    shown = {}
    for folder in write_people(tmp_path, 3, "benchmark", PLAN.seed):
        facts = json.loads((folder / "identity.json").read_text())
        assert facts["split"] == "benchmark"
        for name, item in facts["files"].items():
            shown[file_sha256(folder / name)] = (folder.name, item)
    for instance in portraits.instances:
        person, primary = shown[Path(instance.references[0][0]).stem]
        assert person == instance.identity
        assert {shown[Path(path).stem][0] for path in instance.id_group} == {person}
        assert len(instance.references) == 5 and set(instance.id_group) == {r[0] for r in instance.references}
        assert all(shown[Path(path).stem][1]["kind"] == kind for path, kind in instance.references)
        different = {name for name in ELEMENTS if instance.expected[name] != primary["elements"][name]}
        assert different == set(instance.changed) and 1 <= len(different) <= 3
        assert all(instance.expected[name] in instance.prompt for name in instance.changed)
        assert all(instance.expected[name] in instance.standard_prompt for name in ELEMENTS)


def test_named_elements_have_pictures_where_the_primary_shows_another(portraits: Benchmark) -> None:
    tasks = Counter(instance.task for instance in portraits.instances)
    assert tasks == {Task.IPT2V: 4, Task.IEPT2V: 5}
    pictures: dict[str, dict[str, str]] = {}
    for instance in portraits.instances:
        assert bool(instance.elements) == (instance.task is Task.IEPT2V)
        for named in instance.elements:
            element = next(name for name in ELEMENTS if instance.expected[name] == named.name)
            assert element in ("hairstyle", "clothing", "accessories")
            assert (named.path is not None) == (element in instance.changed)
            if named.path is not None:
                assert portraits.resolve(named.path).is_file()
                found = pictures.setdefault(element, {})
                assert found.setdefault(named.name, named.path) == named.path
    assert len(pictures) == 3
    for found in pictures.values():
        assert len(set(found.values())) == len(found), "no picture stands for two states"


@pytest.mark.parametrize(("prompts", "identities"), [(1, 4), (4, 4), (11, 4), (100, 50), (3, 1)])
def test_everybody_gets_as_many_prompts(prompts: int, identities: int) -> None:
    owners = pair_up(prompts, identities, seed=1)
    counts = Counter(owners)
    assert len(owners) == prompts and set(owners) <= set(range(identities))
    assert max(counts.values()) - min(counts[person] for person in range(identities)) <= 1
    assert pair_up(prompts, identities, seed=1) == owners
    assert prompts < 11 or pair_up(prompts, identities, seed=2) != owners


def test_an_altered_set_is_refused(portraits: Benchmark, tmp_path: Path) -> None:
    folder = copy_of(portraits, tmp_path / "set")
    assert read_benchmark(folder).instances == portraits.instances
    picture = folder / portraits.instances[0].references[0][0]
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    read_benchmark(folder, check_media=False)
    with pytest.raises(FrozenSetError, match=f"{picture.name} has sha256 .*, not {picture.stem}"):
        read_benchmark(folder)
    picture.unlink()
    with pytest.raises(FrozenSetError, match=f"{picture.name} is missing"):
        read_benchmark(folder, check_media=False)
    picture.write_bytes(whole)
    card = (folder / "benchmark.json").read_text()
    (folder / "benchmark.json").write_text(card.replace("CC0-1.0", "MIT"))
    with pytest.raises(FrozenSetError, match="does not match its own sha256"):
        read_benchmark(folder)
    (folder / "benchmark.json").write_text(card)
    rewrite(folder, prompt="Another prompt.")
    (folder / "benchmark.json").write_text(card)
    with pytest.raises(BenchmarkError, match="has other rows than benchmark.json says"):
        read_benchmark(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id_group": [{"path": "../secret.png"}]}, "media path '../secret.png' is not media/<sha256>"),
        ({"elements": [{"name": "hat", "path": "/etc/passwd"}]}, "media path '/etc/passwd' is not"),
        ({"references": []}, "has 0 references"),
        ({"instance_id": "../x"}, "instance id '../x'"),
        ({"instance_id": "ipt2v-002"}, "instance id 'ipt2v-002' is there twice"),
        ({"seeds": [1]}, "instances have different seeds"),
        ({"seeds": None}, "seeds is None; it must be a list"),
        ({"references": None}, "references is None; it must be a list"),
        ({"task": "T2V"}, "task is 'T2V'; it must be one of IPT2V or IEPT2V"),
    ],
)
def test_a_row_without_sense_is_refused(
    portraits: Benchmark, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    folder = copy_of(portraits, tmp_path / "set")
    rewrite(folder, **changes)
    with pytest.raises(BenchmarkError, match=says):
        read_benchmark(folder)


def test_what_is_no_set_is_refused(portraits: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(FrozenSetError, match=r"is no benchmark set: it has no benchmark\.json"):
        read_benchmark(tmp_path)
    folder = copy_of(portraits, tmp_path / "set")
    (folder / "instances.parquet").write_bytes(b"PAR1")
    with pytest.raises(FrozenSetError, match=r"instances\.parquet cannot be read"):
        read_benchmark(folder)
    with pytest.raises(BenchmarkError, match="seeds are"):
        write_benchmark(tmp_path / "new", portraits.card, portraits.instances, (0, 0), [])
    with pytest.raises(BenchmarkError, match="without an instance"):
        write_benchmark(tmp_path / "new", portraits.card, [], (0,), [])


def test_instances_go_through_json() -> None:
    instance = EvaluationInstance("a", "p", (), (), identity="i", task=Task.IEPT2V, changed=("action",))
    assert EvaluationInstance.from_json(json.loads(json.dumps(instance.to_json()))) == instance


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["--portraits", "--identities", "1", "--prompts", "1", "0", "--references", "2", "--seeds", "3"]
    assert main([str(tmp_path / "set"), *made]) == 0
    said = json.loads(capsys.readouterr().out)
    assert main(["check", str(tmp_path / "set")]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["sha256"] == said["sha256"] and checked["instances"] == checked["identities"] == 1
    assert read_benchmark(tmp_path / "set").seeds == (3,)
    assert main(["check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main([str(tmp_path / "other"), "--portraits", "--prompts", "0", "0"]) == 1
    assert "prompts are 0 0" in capsys.readouterr().err
