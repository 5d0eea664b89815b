"""The oracle under the interface of all metrics, on people who are drawn here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from generator.media.encoder import write_clip
from generator.media.video import read_clip
from generator.portraits.__main__ import write_person
from generator.portraits.oracle import Reading, controllability_score, identity_similarity
from generator.portraits.world import ELEMENT_STATES, change_elements
from generator.records import ELEMENTS, ReferenceKind
from rlhf.evaluation.metrics.oracle import CHANGES, element_scores, make
from rlhf.evaluation.metrics.registry import MetricOptions
from rlhf.evaluation.records import NOT_ASKED, EvaluationInstance, MetricError


@pytest.fixture(scope="module")
def metric():
    return make(MetricOptions())


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> list[dict[str, Path]]:
    """Two drawn people; each has clips and photos by name."""
    folder = tmp_path_factory.mktemp("people")
    found = []
    for number in (1, 2):
        write_person(folder / str(number), 20_000_000 + number, "eval")
        found.append({path.name: path for path in sorted((folder / str(number)).glob("[cp]*_*.*"))})
    return found


def instance(person: dict[str, Path], names: list[str], **more) -> EvaluationInstance:
    paths = tuple(str(person[name]) for name in names)
    return EvaluationInstance("1", "", ((paths[0], ReferenceKind.CLIP),), paths, **more)


def names_of(person: dict[str, Path], start: str) -> list[str]:
    return [name for name in person if name.startswith(start)]


def test_a_reference_itself_is_alike_to_itself_and_above_the_ceiling(metric, people):
    person, names = people[0], names_of(people[0], "clip")[:3]
    said = metric.score(person[names[0]], instance(person, names), Path)
    each = said.details["per_reference"]
    assert each[str(person[names[0]])] == pytest.approx(1.0, abs=1e-6)
    assert said.values["holi_oracle"] == pytest.approx(float(np.mean(list(each.values()))))
    assert said.details["copy_paste"] and said.details["ceiling"] < said.values["holi_oracle"]


def test_the_ceiling_is_how_alike_references_are_to_each_other(metric, people):
    person, names = people[0], names_of(people[0], "clip")[:3]
    said = metric.score(person[names[1]], instance(person, names), Path)
    looks = [metric.oracle.read(read_clip(person[name]).frames) for name in names]
    pairs = [identity_similarity(a, [b]) for a in looks for b in looks if a is not b]
    assert said.details["ceiling"] == pytest.approx(float(np.mean(pairs)))
    alone = metric.score(person[names[1]], instance(person, names[:1]), Path)
    assert alone.details["ceiling"] is None and not alone.details["copy_paste"]


def test_another_person_is_less_alike_in_every_column_of_identity(metric, people):
    one, other = people
    asked = instance(one, names_of(one, "clip")[:3])
    mine = metric.score(one[names_of(one, "clip")[3]], asked, Path)
    theirs = metric.score(other[names_of(other, "clip")[3]], asked, Path)
    for column in ("holi_oracle", "identity"):
        assert theirs.values[column] < mine.values[column]


def test_the_order_of_references_changes_nothing(metric, people):
    person, names = people[0], names_of(people[0], "clip")[:3]
    video = person[names_of(person, "clip")[3]]
    forth, back = (metric.score(video, instance(person, order), Path) for order in (names, names[::-1]))
    assert forth.values == pytest.approx(back.values)


def test_the_curve_is_of_single_frames(metric, people, tmp_path):
    """Half of the frames are another person's: the curve falls where they begin."""
    one, other = people
    names = names_of(one, "clip")
    frames = [read_clip(person[names_of(person, "clip")[3]]).frames for person in people]
    mixed = np.concatenate([frames[0][:4], frames[1][:5]])
    write_clip(tmp_path / "mixed.mp4", mixed, 8)
    said = metric.score(tmp_path / "mixed.mp4", instance(one, names[:3]), Path)
    curve = said.details["per_frame"]
    assert said.details["frames"] == list(range(9)) and len(curve) == len(said.details["certainty"]) == 9
    assert np.mean(curve[:4]) > np.mean(curve[4:])


def test_each_column_looks_at_its_own_elements():
    """A reading that is sure of some states only: the columns are their means."""
    rng = np.random.default_rng(0)
    expected = {element: states[0] for element, states in ELEMENT_STATES.items()}
    sure = {element: round(float(rng.random()), 3) for element in ELEMENTS}
    reading = Reading(np.zeros(3), {e: {expected[e]: sure[e]} for e in ELEMENTS})
    changed = ("clothing", "expression", "action")
    asked = EvaluationInstance("1", "", (), (), expected=expected, changed=changed)
    values, holes = element_scores(reading, asked)
    mean = lambda names: pytest.approx(float(np.mean([sure[name] for name in names])))  # noqa: E731
    assert values["app_oracle"] == mean(["clothing", "expression"])
    assert values["mot_oracle"] == mean(["action"])
    assert values["ele_oracle"] == mean([e for e in ELEMENTS if e not in changed])
    assert values["controllability"] == pytest.approx(controllability_score(reading, expected))
    assert holes == {"bg_oracle": f"{NOT_ASKED}nothing of this kind changes"}


def test_every_element_is_looked_at_by_one_column_of_changes():
    assert sorted(element for kind in CHANGES.values() for element in kind) == sorted(ELEMENTS)


def test_what_nobody_wrote_down_is_not_asked_for(metric, people):
    person, names = people[0], names_of(people[0], "clip")
    said = metric.score(person[names[0]], instance(person, names[:2]), Path)
    faults_of_a_face = {f"fault_{name}" for name in ("filter", "stranger", "soft")}
    assert set(said.values) == {"holi_oracle", "identity", "identity_nats"} | faults_of_a_face
    assert set(said.values) | set(said.holes) == set(metric.facts.columns)
    assert all(why.startswith(NOT_ASKED) for why in said.holes.values())


def test_states_of_another_world_are_failures_and_no_zeros(metric, people):
    person, names = people[0], names_of(people[0], "clip")
    rng = np.random.default_rng(0)
    expected = change_elements({e: states[0] for e, states in ELEMENT_STATES.items()}, 0.5, rng)
    asked = instance(
        person, names[:2], expected=expected | {"background": "the moon"}, changed=("background",)
    )
    said = metric.score(person[names[0]], asked, Path)
    assert said.holes["bg_oracle"] == "the portrait world has no background 'the moon'"
    assert "controllability" in said.holes and "ele_oracle" in said.values


def test_what_cannot_be_looked_at_is_named(metric, people, tmp_path):
    person, names = people[0], names_of(people[0], "clip")
    (tmp_path / "broken.mp4").write_bytes(b"no clip")
    with pytest.raises(ValueError, match=r"broken.mp4 cannot be read"):
        metric.score(tmp_path / "broken.mp4", instance(person, names[:1]), Path)
    with pytest.raises(ValueError, match=r"gone.mp4 cannot be read: No such file"):
        metric.score(tmp_path / "gone.mp4", instance(person, names[:1]), Path)
    with pytest.raises(MetricError, match="empty id_group"):
        metric.score(person[names[0]], EvaluationInstance("7", "", (), ()), Path)
    with pytest.raises(ValueError, match="oracle takes no setting"):
        make(MetricOptions(settings={"size": 1}))
