import json
from pathlib import Path

import numpy as np
import pytest

from generator.media.encoder import write_clip
from generator.media.formats import MediaFacts
from generator.media.photo import write_photo
from generator.media.video import read_paced
from generator.records import ReferenceKind, SamplerSettings
from rlhf.training.instances import DatasetError, common_rate, measure_target, read_dataset, target_settings

CASES = Path(__file__).parents[4] / "shared/cases"
GOOD = {
    "instance_id": "one",
    "prompt": "She now smiles.",
    "references": [{"path": "clip.mp4", "kind": "clip"}, {"path": "photo.png", "kind": "photo"}],
    "target": {"path": "target.mp4"},
}


@pytest.fixture
def write(tmp_path):
    """Writes lines; the media that good ones name exist, but nothing in them is read."""
    for name in ("clip.mp4", "photo.png", "target.mp4"):
        (tmp_path / name).touch()

    def write(*lines):
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / "instances.jsonl").write_text("\n".join(texts) + "\n")
        return tmp_path

    return write


def test_it_reads_instances_in_order_with_paths_relative_to_the_file(write):
    folder = write(GOOD, "", {**GOOD, "instance_id": "two", "id_group": "person 3"})
    first, second = read_dataset(folder)
    assert first.references == (
        (folder / "clip.mp4", ReferenceKind.CLIP),
        (folder / "photo.png", ReferenceKind.PHOTO),
    )
    assert (first.instance_id, first.target, first.id_group) == ("one", folder / "target.mp4", "")
    assert (second.instance_id, second.id_group) == ("two", "person 3")
    assert read_dataset(folder / "instances.jsonl") == [first, second]


def test_a_line_ends_only_where_json_lines_do(write):
    """A text may hold U+2028, which Python's own splitlines would cut."""
    line = json.dumps({**GOOD, "prompt": "smiles\u2028now"}, ensure_ascii=False)
    assert read_dataset(write(line))[0].prompt == "smiles\u2028now"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instance_id": "a/b"}, "instance_id 'a/b' is no file name"),
        ({"instance_id": 7}, "instance_id is 7; it must be a text"),
        ({"instance_id": "zero"}, "instance_id 'zero' occurs twice"),
        ({"prompt": None}, "prompt is None"),
        ({"references": []}, "references is []; it must be a list of at least 1"),
        ({"references": ["photo.png"]}, "references[0] is 'photo.png'; it must be a JSON object"),
        (
            {"references": [{"path": "photo.png", "kind": "face"}]},
            "references[0].kind is 'face'; it must be one of photo, half_body or clip",
        ),
        ({"references": [{"path": "no.png", "kind": "photo"}]}, "reference 'no.png' is no file"),
        ({"references": [{"kind": "photo"}]}, "references[0] has no path"),
        ({"references": [{"path": "target.mp4", "kind": "clip"}]}, "target.mp4 is also a reference"),
        ({"target": {"path": "no.mp4"}}, "target 'no.mp4' is no file"),
        ({"target": "target.mp4"}, "target is 'target.mp4'; it must be a JSON object"),
        ({"id_group": 3}, "id_group is 3"),
    ],
)
def test_it_names_file_line_value_and_remedy(write, change, message):
    folder = write({**GOOD, "instance_id": "zero"}, {**GOOD, **change})
    with pytest.raises(DatasetError) as caught:
        read_dataset(folder)
    assert str(caught.value).startswith(f"{folder / 'instances.jsonl'}:2: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", ":1: is not JSON"), ("[]", ":1: it is .*; it must be a JSON object"), ("", "no instance")],
)
def test_it_refuses_what_is_no_instance(write, line, message):
    with pytest.raises(DatasetError, match=message):
        read_dataset(write(line))


def test_it_says_when_there_is_no_dataset(tmp_path):
    with pytest.raises(DatasetError, match=r"instances\.jsonl cannot be read: No such file"):
        read_dataset(tmp_path)


def test_a_target_is_learned_up_to_its_longest_4k_plus_1_frames(tmp_path):
    write_clip(tmp_path / "t.mp4", np.zeros((12, 32, 48, 3), np.uint8), 8)
    expected = SamplerSettings(height=32, width=48, num_frames=9, fps=8)
    assert target_settings(tmp_path / "t.mp4") == expected


def test_a_still_is_no_target(tmp_path):
    write_photo(tmp_path / "t.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"t\.png is a still"):
        target_settings(tmp_path / "t.png")


def test_a_damaged_target_is_named(tmp_path):
    (tmp_path / "t.mp4").write_bytes(b"no video")
    with pytest.raises(DatasetError, match=r"t\.mp4 cannot be learned"):
        target_settings(tmp_path / "t.mp4")


def speeds(folder: Path, *rates: float, seconds: int = 2) -> dict[Path, MediaFacts]:
    """Clips that all brighten by 40 levels a second."""
    targets = {}
    for rate in rates:
        greys = np.arange(round(seconds * rate)) * 40 / rate
        frames = np.broadcast_to((20 + greys)[:, None, None, None], (len(greys), 32, 32, 3))
        write_clip(folder / f"{rate:g}.mp4", frames.round().astype(np.uint8), rate)
        targets[folder / f"{rate:g}.mp4"] = measure_target(folder / f"{rate:g}.mp4")
    return targets


def test_targets_of_several_rates_are_brought_to_one(tmp_path: Path) -> None:
    """Seen at the run's rate, all brighten equally fast: by 5 levels a frame at 8 frames per second."""
    targets = speeds(tmp_path, 8, 24, 25, 60)
    fps = common_rate(targets)
    assert fps == 8
    for target, facts in targets.items():
        settings = target_settings(target, facts, fps)
        assert (settings.fps, settings.num_frames) == (8, 13)
        shown = read_paced(target, settings.fps, max_frames=settings.num_frames).mean(axis=(1, 2, 3))
        assert shown == pytest.approx(20 + 5 * np.arange(13), abs=2.5)


def test_a_rate_that_was_asked_for_is_kept_or_refused_by_name(tmp_path: Path) -> None:
    targets = speeds(tmp_path, 16, 29.97, 60)
    assert common_rate(targets, 12) == 12
    with pytest.raises(
        DatasetError,
        match=r"16\.mp4 has 16 frames per second, fewer than the 24 of the run; leave it out, or",
    ):
        common_rate(targets, 24)


@pytest.mark.parametrize(("own", "fps"), [(29.97, 30), (12.5, 12), (23.976, 24), (15, 15), (2.5, 2)])
def test_the_rate_of_a_run_is_a_whole_number_that_its_targets_have(
    tmp_path: Path, own: float, fps: int
) -> None:
    targets = speeds(tmp_path, own, seconds=4)
    assert common_rate(targets) == fps
    assert common_rate(targets, fps) == fps


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is absent")
def test_the_targets_that_failed_are_learned_at_one_rate() -> None:
    targets = {
        CASES / name: measure_target(CASES / name) for name in ("two_seconds_8.mp4", "two_seconds_60.mp4")
    }
    settings = [target_settings(target, facts, common_rate(targets)) for target, facts in targets.items()]
    assert settings[0] == settings[1]
    assert (settings[0].fps, settings[0].num_frames) == (8, 13)
