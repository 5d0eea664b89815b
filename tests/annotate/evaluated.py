"""Rounds whose tuned model is evaluated, and what an evaluation ended with."""

from __future__ import annotations

from typing import Any

from annotate.jobs import runs
from annotate.loop.loop import advance_round
from annotate.models import ModelVersion, Round, Run, Stage
from generator.portraits.world import CHECKPOINT
from rlhf.records import Track, Verdict
from tests.factories import make_group, make_instance, make_model, make_pair, make_round
from tests.runs import end
from tests.votes import vote

TRACK = {
    **{"win_rate": 0.6, "low": 0.5, "high": 0.7, "n": 4, "score": "identity_nats"},
    **{"baseline_mean": -9.5, "candidate_mean": -7.25, "gain": 2.25, "gain_low": 1.5, "gain_high": 3.0},
}
CELL = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 2, "num_identities": 2, "holes": 0, "not_asked": 0}
RESULT = {
    "set": {"name": "held-out people", "sha256": "0" * 64},
    "systems": {"candidate": {"label": "tiny (full)"}, "without_assistants": {"label": "w/o AR"}},
    "reference": "candidate",
    "columns": [{"name": "holi_oracle", "label": "Holi (oracle)", "paper": "Holi-Arc", "metric": "oracle"}],
    "table": {
        "candidate": {"holi_oracle": CELL},
        "without_assistants": {"holi_oracle": CELL | {"mean": 0.4567}},
    },
    "differences": {},
    "directions": [
        {
            **{"ablation": "w/o AR", "system": "without_assistants", "column": "holi_oracle"},
            **{"paper_column": "Holi-Arc", "paper_full": 73.22, "paper_ablated": 72.38},
            **{"gain": 0.0433, "gain_low": 0.01, "gain_high": 0.08, "holds": "yes"},
        }
    ],
    "holes": [],
    "seconds": 61.5,
}


def round_of_the_shipped_model() -> Round:
    """And somebody held out."""
    make_instance(make_group(split="eval"))
    return make_pair(make_round(policy=make_model(name="tiny", base_model=str(CHECKPOINT)))).round


def tuned(round: Round) -> ModelVersion:
    """A model that the round trained."""
    for track in Track:
        vote(round.pairs.get(), track, Verdict.SECOND)
    run = advance_round(round).run
    assert run is not None and run.stage == Stage.DPO
    losses = {"first_loss": 0.6931, "last_loss": 0.5, "steps": 3, "accuracy": 1.0}
    end(run, adapter="adapter", adapter_sha256="b" * 64, num_pairs=1, **losses)
    return ModelVersion.objects.get(run=run)


def request_of(run: Run) -> dict[str, Any]:
    return runs.run_dir(run).read_request()
