"""What a version of a model is given out with: its card, and its adapters in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db.models import Count, Q
from zipstream import ZipStream  # type: ignore[import-untyped]

from annotate.core.files import add_stored
from annotate.models import Export, ModelVersion, PreferencePair, Use
from annotate.privacy.consent_queries import given
from annotate.registry import queries as version_queries
from annotate.storage.opening import site_storage
from annotate.training.preview import run_config, settings_in
from annotate.training.queries import pair_facts, pair_set
from generator.adapter_files import ADAPTER_FILE, COMFYUI_FILE
from rlhf.dpo.model_card import CardFacts, model_card
from rlhf.export.rule import ExportRule
from rlhf.training.set_facts import SetFacts

#: Whose loader reads the files, and their names in an adapter's folder.
FORMS = {"diffusers": ADAPTER_FILE, "comfyui": COMFYUI_FILE}
#: Closing figures of a training, and what they are called.
FIGURES = {
    "num_pairs": "pairs trained on",
    "num_instances": "instances trained on",
    "fps": "frames per second",
    "num_held_out_pairs": "pairs held out",
    "steps": "steps",
    "result_step": "weights of step",
    "first_loss": "first loss",
    "last_loss": "last loss",
    "accuracy": "share of pairs in order at the end",
}


class AdapterError(Exception):
    """A version cannot be given out so; the message names the reason and the remedy."""


def adapters_zip(version: ModelVersion, form: str, card: str) -> ZipStream:
    """All adapters of a version and its card, which says their weights, written while it is sent.

    The newest adapter alone would be another model.

    Raises:
        AdapterError: it has no adapter, or one has no file of this form.
    """
    line = version.adapters()
    if not line:
        raise AdapterError(f"{version} was registered and has no LoRA; its weights are {version.base_model}")
    archive = ZipStream(sized=True)
    for number, (trained, _) in enumerate(line, start=1):
        key = f"{trained.adapter_path}/{FORMS[form]}"
        try:
            size = site_storage().size(key)
        except FileNotFoundError:
            raise AdapterError(_missing(trained, form)) from None
        add_stored(archive, key, f"{number:02}-{trained.name}.safetensors", size)
    archive.add(card, "README.md")
    return archive


def _missing(version: ModelVersion, form: str) -> str:
    folder = version.adapter_path
    if form == "comfyui" and site_storage().exists(f"{folder}/{ADAPTER_FILE}"):
        return (
            f"{version} has no {COMFYUI_FILE} yet; where the GPU worker runs, in its storage: "
            f"python -m generator.model.lora {folder} {folder}/{COMFYUI_FILE}"
        )
    return f"the adapter of {version} is gone: {Path(folder).name}/{FORMS[form]}; put its run's folder back"


def figures_of(version: ModelVersion) -> dict[str, float]:
    result = (version.training.result or {}) if version.training else {}
    return {title: result[name] for name, title in FIGURES.items() if result.get(name) is not None}


def changed_settings_of(version: ModelVersion) -> dict[str, tuple[str, str]]:
    """Settings of the training that differ from the defaults: value and default."""
    config = run_config(version.training) if version.training else None
    if config is None:
        return {}
    return {name: (value, default) for name, value, default in settings_in(config) if value != default}


def card_of(version: ModelVersion) -> str:
    """What is known here of a version, in Markdown."""
    evaluation = version_queries.evaluations_of(version).first()
    measured = (evaluation.result or {}) if evaluation else {}
    facts = CardFacts(
        name=version.name,
        base=Path(version.base_model).name,
        line=[(trained.name, weight) for trained, weight in version.adapters()],
        weights_sha256=version.weights_sha256,
        kind=version.kind,
        **_learned_from(version),
        settings={name: value for name, (value, _) in changed_settings_of(version).items()},
        figures=figures_of(version),
        evaluation={name: measured[name] for name in ("identity", "controllability") if name in measured},
    )
    return model_card(facts)


def _learned_from(version: ModelVersion) -> dict[str, Any]:
    """What a card tells of the data; nothing of what was not trained here."""
    export, learned = version.export, version.run.training_set if version.run else None
    if export is not None:
        return {
            "rule": ExportRule(export.rule),
            "content_hash": export.content_hash,
            "pairs": pair_facts(export.round, pair_set(export.round, export, include_simulated=True)),
            "consents": _consents(export),
            "withdrawn": export.withdrawn,
        }
    if learned is not None:
        return {
            "content_hash": learned.content_hash,
            "learned": SetFacts(**learned.facts),
            "withdrawn": learned.withdrawn,
        }
    return {}


def _consents(export: Export) -> dict[str, int]:
    pairs = PreferencePair.objects.filter(exports=export).order_by()
    counts = {use.value: Count("pk", filter=Q(given("pair__instance__group", use))) for use in Use}
    return pairs.aggregate(**counts)
