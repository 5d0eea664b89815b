"""The shipped checkpoint: small, complete, and trained: it keeps and changes what it is told to."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from generator.model.checkpoint import load_pipeline  # noqa: E402
from generator.portraits.oracle import Oracle  # noqa: E402
from generator.portraits.train.measure import draw_trials, sample_trials, score  # noqa: E402
from generator.portraits.world import CHECKPOINT, SUPERVISED  # noqa: E402


def test_it_is_small_and_all_safetensors() -> None:
    files = [path for path in CHECKPOINT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20e6
    assert {path.suffix for path in files} <= {".json", ".md", ".safetensors"}


def test_the_supervised_model_is_small_and_makes_other_videos_than_its_base() -> None:
    assert sum(path.stat().st_size for path in SUPERVISED.iterdir()) <= 1e6
    trials = draw_trials(1, 2)[:1]
    base, supervised = (
        sample_trials(load_pipeline(CHECKPOINT, adapters), trials, steps=2, guidance_scale=1.0)[0]
        for adapters in ([], [SUPERVISED])
    )
    assert base.shape == supervised.shape
    assert np.abs(base.astype(float) - supervised).mean() > 1


def test_it_draws_what_its_vae_encodes() -> None:
    """Clips of people it never saw come back with less than a tenth of the pixel range lost on average."""
    pipeline = load_pipeline(CHECKPOINT)
    for trial in draw_trials(1, 1)[:3]:
        frames = trial.references[0]
        again = pipeline.decode_latents(pipeline.encode_video(frames))[0]
        assert np.abs(again.astype(float) - frames).mean() < 0.1 * 255 / 2


def test_it_follows_primary_reference_and_prompt() -> None:
    """Eight held-out people at 10 steps; chance is 1/20 for the person and about 1/6 for an element."""
    trials = draw_trials(1, 3)[:8]
    figures = score(trials, sample_trials(load_pipeline(CHECKPOINT), trials, steps=10), Oracle.load())
    assert figures["identity_top1"][0] >= 0.25
    assert figures["unchanged"][0] >= 0.5
    assert figures["changed"][0] >= 0.3
