"""Runners: the real pipelines with tiny random weights make entries, and what is absent is named.

ConsisID's face models have no weights that may be shipped; here a planted one sees a picture's mean colour.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffusers import (  # noqa: E402
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXDPMScheduler,
    ConsisIDPipeline,
    ConsisIDTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
)
from PIL import Image  # noqa: E402
from transformers import T5Config, T5EncoderModel, T5Tokenizer  # noqa: E402

from generator.media.video import probe  # noqa: E402
from generator.model.external import consisid  # noqa: E402
from generator.model.external.consisid import ConsisID, Face, load_face_models  # noqa: E402
from generator.model.external.local import load_local  # noqa: E402
from generator.model.scheduler import build_scheduler  # noqa: E402
from generator.portraits.tiny import (  # noqa: E402
    TEXT_WIDTH,
    build_text_encoder,
    build_tokenizer,
)
from generator.records import SamplerSettings  # noqa: E402
from rlhf.evaluation.benchmark.card import BenchmarkError  # noqa: E402
from rlhf.evaluation.benchmark.entry import read_entry  # noqa: E402
from rlhf.evaluation.benchmark.plan import MakePlan  # noqa: E402
from rlhf.evaluation.benchmark.portraits import make_portraits  # noqa: E402
from rlhf.evaluation.benchmark.set import Benchmark  # noqa: E402
from rlhf.evaluation.runners import RUNNERS, main, make_entry  # noqa: E402

SETTINGS = SamplerSettings(height=16, width=16, num_frames=9, num_inference_steps=2, guidance_scale=6.0)


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    plan = MakePlan(num_identities=2, num_ipt2v=2, num_iept2v=0, seeds=(0, 4))
    return make_portraits(tmp_path_factory.mktemp("sets") / "portraits", plan)


def small_transformer() -> ConsisIDTransformer3DModel:
    return ConsisIDTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=8,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=32,
        num_layers=1,
        sample_width=2,
        sample_height=2,
        sample_frames=9,
        max_text_seq_length=300,
        use_rotary_positional_embeddings=True,
        is_train_face=True,
        cross_attn_interval=1,
        cross_attn_dim_head=8,
        cross_attn_num_heads=2,
        LFE_id_dim=3,
        LFE_vit_dim=3,
        LFE_depth=5,
        LFE_dim_head=8,
        LFE_num_heads=2,
        LFE_num_id_token=1,
        LFE_num_querie=2,
        LFE_output_dim=21,
        LFE_ff_mult=1,
        LFE_num_scale=1,
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released classes, so small that a video takes a moment."""
    torch.manual_seed(0)
    letters = [(letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyzT.-"]
    tokenizer = T5Tokenizer(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -1.0), *letters], extra_ids=0
    )
    pipeline = ConsisIDPipeline(
        tokenizer=tokenizer,
        text_encoder=T5EncoderModel(
            T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
        ),
        vae=AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4,
            up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
        ),
        transformer=small_transformer(),
        scheduler=CogVideoXDPMScheduler(),
    )
    folder = tmp_path_factory.mktemp("consisid")
    pipeline.save_pretrained(folder)
    return folder


def enter(
    folder: Path, model: ConsisID, benchmark: Benchmark, lines: list[str] | None = None
) -> dict[str, Any]:
    facts = RUNNERS["consisid"].facts(model.settings, benchmark)
    return make_entry(folder, facts, benchmark, lambda: model, [].append if lines is None else lines.append)


def see(picture: np.ndarray) -> Face:
    """A face is a colour; a black picture has none."""
    if not picture.any():
        raise ValueError("no face is found in the picture")
    mean = torch.from_numpy(picture.mean((0, 1)) / 255).float()
    return Face(Image.fromarray(picture), mean[None], [mean[None, None]])


@pytest.fixture(scope="module")
def model(weights: Path) -> ConsisID:
    return ConsisID(load_local(ConsisIDPipeline, weights, "cpu", torch.float32), see, SETTINGS)


def test_a_video_depends_on_face_prompt_and_seed_alone(model: ConsisID) -> None:
    face, other = (np.full((20, 30, 3), colour, np.uint8) for colour in ((200, 150, 120), (90, 60, 50)))
    video = model.make(face, "The person waves.", 3)
    assert (video.shape, video.dtype) == ((9, 16, 16, 3), np.uint8)
    assert (model.make(face, "The person waves.", 3) == video).all()
    for arguments in (
        (other, "The person waves.", 3),
        (face, "The person sits.", 3),
        (face, "The person waves.", 4),
    ):
        assert (model.make(*arguments) != video).any()


def test_a_set_becomes_an_entry_and_a_killed_run_goes_on(
    model: ConsisID, portraits: Benchmark, tmp_path: Path
) -> None:
    lines: list[str] = []
    said = enter(tmp_path / "entry", model, portraits, lines)
    assert said == {"made": 4, "kept": 0, "failed": {}} and lines[-1].endswith("4 of 4")
    entry = read_entry(tmp_path / "entry", portraits)
    assert (len(entry.videos), entry.holes, entry.strangers) == (4, {}, ())
    assert (entry.facts.model, entry.facts.references_used) == ("ConsisID", "primary")
    assert entry.facts.of_set == portraits.identity and entry.facts.settings["num_inference_steps"] == 2
    first, second, *_ = (path for path in entry.videos.values())
    assert probe(first).num_frames == 9 and first.read_bytes() != second.read_bytes()
    before = first.read_bytes()
    first.unlink()
    assert enter(tmp_path / "entry", model, portraits) == {"made": 1, "kept": 3, "failed": {}}
    assert first.read_bytes() == before, "a video is made of its own seed, whatever was made before it"
    other = ConsisID(model._pipeline, see, replace(SETTINGS, num_inference_steps=3))
    with pytest.raises(BenchmarkError, match="holds videos of another model or other settings"):
        enter(tmp_path / "entry", other, portraits)


def test_a_picture_without_a_face_stops_no_other(
    model: ConsisID, portraits: Benchmark, tmp_path: Path
) -> None:
    seen = iter([False, True, False, True])

    def see_some(picture: np.ndarray) -> Face:
        return see(picture if next(seen) else np.zeros_like(picture))

    blind = ConsisID(model._pipeline, see_some, SETTINGS)
    said = enter(tmp_path / "entry", blind, portraits)
    assert (said["made"], said["failed"]) == (
        2,
        dict.fromkeys(["ipt2v-001-0.mp4", "ipt2v-002-0.mp4"], "no face is found in the picture"),
    )
    assert set(read_entry(tmp_path / "entry", portraits).holes) == {("ipt2v-001", 0), ("ipt2v-002", 0)}


def test_vace_makes_an_entry_from_its_folder(
    portraits: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    transformer = WanVACETransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=TEXT_WIDTH,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        vace_layers=[0, 1],
    )
    vae = AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    WanVACEPipeline(
        build_tokenizer(), build_text_encoder(), vae, build_scheduler(3.0), transformer
    ).save_pretrained(tmp_path / "vace")
    arguments = ["vace", str(portraits.folder), str(tmp_path / "entry"), "--weights", str(tmp_path / "vace")]
    tiny = {"height": 32, "width": 32, "num_frames": 5, "fps": 8, "num_inference_steps": 1}
    assert main([*arguments, "--settings", json.dumps(tiny)]) == 0
    assert json.loads(capsys.readouterr().out) == {"made": 4, "kept": 0, "failed": {}}
    entry = read_entry(tmp_path / "entry", portraits)
    assert len({path.read_bytes() for path in entry.videos.values()}) == 4 and not entry.holes
    assert (entry.facts.model, entry.facts.settings["guidance_scale"]) == ("Wan VACE", 5.0)
    (tmp_path / "vace" / "model_index.json").unlink()
    assert main([*arguments, "--settings", json.dumps(tiny)]) == 0, "what is complete needs no weights"
    assert json.loads(capsys.readouterr().out)["kept"] == 4


def test_a_prompt_that_would_be_cut_is_a_hole_of_the_entry(
    model: ConsisID, portraits: Benchmark, tmp_path: Path
) -> None:
    first, second = portraits.instances
    long = replace(portraits, instances=(replace(first, standard_prompt="a beach " * 60), second))
    said = enter(tmp_path / "entry", model, long)
    assert said["made"] == len(portraits.seeds) and len(said["failed"]) == len(portraits.seeds)
    for name, why in said["failed"].items():
        assert name.startswith(first.instance_id) and "the model reads 300" in why


def test_absent_parts_are_named(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(folder: Path, allowed: bool) -> None:
        load_face_models(folder, torch.device("cpu"), torch.float32, allow_non_commercial=allowed)

    with pytest.raises(ValueError, match="non-commercial research only; add --allow-non-commercial"):
        load(tmp_path, False)
    with pytest.raises(ValueError, match=r"has no face_encoder/detection_Resnet50_Final\.pth"):
        load(tmp_path, True)
    for name in consisid._FACE_FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(consisid, "find_spec", lambda name: None if name == "facexlib" else name)
    with pytest.raises(ValueError, match="need facexlib; python -m pip install facexlib"):
        load(tmp_path, True)
    with pytest.raises(ValueError, match=r"has no model_index\.json; give a local folder"):
        load_local(ConsisIDPipeline, tmp_path, "cpu", torch.float32)


def test_the_command_refuses_in_one_line(
    portraits: Benchmark, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def says(*options: str, place: Path = weights) -> str:
        entry = str(tmp_path / "entry")
        assert main(["consisid", str(portraits.folder), entry, "--weights", str(place), *options]) == 1
        assert not (tmp_path / "entry").exists()
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "has no model_index.json" in says(place=tmp_path)
    assert "add --allow-non-commercial" in says()
    assert "has no face_encoder" in says("--allow-non-commercial")
    assert "--settings is no JSON" in says("--settings", "{")
    assert "it must be an object of height, width" in says("--settings", json.dumps({"steps": 3}))
    assert "num_frames is 48" in says("--settings", json.dumps({"num_frames": 48}))
