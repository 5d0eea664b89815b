"""Whoever describes, compares or observes, by the name that a request gives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generator.prompts.asking import Asker, Model, Patience
from generator.prompts.plan import Address
from generator.prompts.questions import AskedModel, look
from generator.prompts.stages import Comparer
from generator.prompts.transcript import Price, Transcript

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Desk:
    """What every backend of a run shares."""

    resolve: Callable[[str], Path]  # finds the file of a path in the request
    transcript: Transcript  # of the run
    patience: Patience = field(default_factory=Patience)
    wait: Callable[[float], object] = time.sleep  # between attempts
    #: What runs here and stays in memory for other runs, by its part of the request.
    loaded: dict[str, Any] = field(default_factory=dict)

    def asker(self, spec: Spec) -> Asker:
        """Someone who asks the model of a backend."""
        model: Model = self._kept(spec, lambda: load_model(spec, self.resolve))
        return Asker(model, self.transcript, self.patience, self.wait)

    def _kept(self, spec: Spec, load: Callable[[], Any]) -> Any:
        key = json.dumps(spec, sort_keys=True)
        if key not in self.loaded:
            self.loaded[key] = load()
        return self.loaded[key]

    def model(self, spec: Spec) -> AskedModel:
        """Who describes or observes, from a checked part of a request.

        Raises:
            ValueError: a value cannot be used; the message names it.
            OSError: the model or the key is not there.
        """
        # The portrait world knows its media; decoding them would show it nothing more.
        shown = (lambda medium: ()) if spec["backend"] == "portraits" else look
        return AskedModel(self.asker(spec), shown)

    def comparer(self, spec: Spec) -> Comparer:
        """Who compares; raises as `model` does."""
        if spec["backend"] != "embedding":
            return self.model(spec)
        from generator.prompts.backends.language_models import SentenceComparer

        comparer: Comparer = self._kept(spec, lambda: SentenceComparer(self.resolve(spec["model"])))
        return comparer


def read_prices(*specs: Spec | None) -> dict[str, Price]:
    """The price of each model that has one."""
    return {spec["model"]: Price(**spec["price"]) for spec in specs if spec and "price" in spec}


def load_model(spec: Spec, resolve: Callable[[str], Path]) -> Model:
    """A model that answers questions; torch is loaded only for one that runs here.

    Raises:
        ValueError: a value cannot be used; the message names it.
        OSError: the model or the key is not there.
    """
    options = {
        name: value for name, value in spec.items() if name not in ("backend", "api_key_file", "price")
    }
    if spec["backend"] == "server":
        # Here, since the web reads this file with every start, and asks no server.
        from generator.prompts.backends.server import ChatServer

        key = resolve(spec["api_key_file"]).read_text(encoding="utf-8") if "api_key_file" in spec else ""
        return ChatServer(Address(**options), key.strip())
    if spec["backend"] == "local":
        from generator.prompts.backends.language_models import LocalModel

        return LocalModel(**{**options, "model": resolve(spec["model"])})
    from generator.prompts.backends.portraits import Errors, PortraitModel, read_elements

    return PortraitModel(read_elements, Errors(**spec.get("errors", {})))
