"""What makes the parts of an evaluation, and keeps what it has loaded from one to the next."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from generator.model.precision import choose_precision
from generator.rundir import RunDir
from generator.sample import load_model
from rlhf.evaluation.measures import Measures, score
from rlhf.evaluation.request import EvaluationRequest, instance_sha256, read_request
from rlhf.evaluation.videos import videos_of

if TYPE_CHECKING:
    from generator.model.pipeline import AnyIDPipeline


class Maker:
    """Keeps the metrics, and the model that it loaded last."""

    def __init__(self) -> None:
        self._measures: Measures | None = None
        self._pipeline: AnyIDPipeline | None = None
        self._model = ""

    def make(self, run: RunDir) -> None:
        """Make the videos that the folder of a part asks for, and say what each is worth.

        Raises:
            RunError, ValueError: the request cannot be fulfilled at all.
        """
        item = run.read_request()
        request = read_request(run, item)
        self._measures = self._measures or Measures.of(request)
        run.truncate_metrics(lambda line: False)
        failed = [one for batch in item["part"] for one in self._make_batch(run, request, batch)]
        run.write_result({"failed": failed, "precision": choose_precision(exact=True).to_json()})

    def _make_batch(
        self, run: RunDir, request: EvaluationRequest, batch: Mapping[str, Any]
    ) -> list[dict[str, str]]:
        """Announce every video that there is; gives the others, with the reason."""
        assert self._measures is not None, "make has them loaded"
        system = next(one for one in request.systems if one.name == batch["system"])
        instances = tuple(one for one in request.instances if one.instance_id in batch["instances"])
        asked = {one.instance_id: instance_sha256(one, run.resolve) for one in instances}
        began = time.monotonic()
        mine = replace(request, instances=instances)
        wanted = videos_of(run, mine, system, lambda *told: None, load=self._load)
        each = (time.monotonic() - began) / len(wanted)
        failed = []
        for video in wanted:
            if video.path is None:
                failed.append({"system": system.name, "sample_id": video.name, "error": video.why})
                continue
            began = time.monotonic()
            score(run, video, asked[video.instance.instance_id], self._measures)
            seconds = round(each + time.monotonic() - began, 3)
            run.append_metrics({"system": system.name, "sample_id": video.name, "seconds": seconds})
        return failed

    def _load(self, run: RunDir, model: Mapping[str, Any]) -> AnyIDPipeline:
        """The model of a system; the one of another system goes first, for both may not fit."""
        wanted = json.dumps(model, sort_keys=True)
        if self._pipeline is None or self._model != wanted:
            self._pipeline = None
            gc.collect()
            self._pipeline, self._model = load_model(run, model), wanted
        return self._pipeline
