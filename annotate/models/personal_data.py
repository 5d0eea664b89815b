"""Where a person can be: the one list that erasure, its dry run and its tests go by.

Whoever adds a table with a person's rows, a column of text, or a place for files adds it here; a test
compares this list with the tables, and with everything that a turn of the loop leaves in the storage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import Q, QuerySet

from annotate.models.curation import CurationDecision
from annotate.models.download import JudgmentFile
from annotate.models.gold import GoldPair, Qualification
from annotate.models.identity import DifferentialPrompt, IdentityGroup, Instance, InstanceReference, Reference
from annotate.models.judgment import Exposure, Judgment, Slot
from annotate.models.preference import Consensus, Export, PreferencePair
from annotate.models.round import VideoPair, VideoSample
from annotate.models.statistics import Adjudication
from annotate.models.study import StudyAnswer, StudyInput, StudyPair, StudyTask, StudyVideo
from annotate.models.version import ModelVersion
from annotate.models.version_comparison import VersionComparison

# -- rows -----------------------------------------------------------------------------------------


def samples_of(person: IdentityGroup) -> QuerySet[VideoSample]:
    """Videos that show a person: those of their instances, and copies of these in anybody's gold."""
    return VideoSample.objects.filter(
        Q(instance__group=person)
        | Q(copy_of__instance__group=person)
        | Q(copy_of__copy_of__instance__group=person)
    )


def pairs_of(person: IdentityGroup) -> QuerySet[VideoPair]:
    """Pairs that show a person, on one side at least."""
    shown = samples_of(person).values("pk")
    return VideoPair.objects.filter(Q(instance__group=person) | Q(first__in=shown) | Q(second__in=shown))


def prompts_of(person: IdentityGroup) -> QuerySet[DifferentialPrompt]:
    """The prompts that a person's instances have now; those that they supersede hang on them."""
    return DifferentialPrompt.objects.filter(instances__group=person).distinct()


def _slots(person: IdentityGroup) -> QuerySet[Slot]:
    return Slot.objects.filter(pair__in=pairs_of(person).values("pk"))


def _study_pairs(person: IdentityGroup) -> QuerySet[StudyPair]:
    return StudyPair.objects.filter(first__input__group=person)


Rows = Callable[[IdentityGroup], QuerySet[Any]]
#: Every table that holds rows about a person, by what people call them. All of these go.
ROWS: Mapping[str, Rows] = {
    "references": lambda person: Reference.objects.filter(group=person),
    "curation decisions": lambda person: CurationDecision.objects.filter(reference__group=person),
    "instances": lambda person: Instance.objects.filter(group=person),
    "places of references": lambda person: InstanceReference.objects.filter(reference__group=person),
    "prompts": prompts_of,
    "videos": samples_of,
    "pairs": pairs_of,
    "gold": lambda person: GoldPair.objects.filter(pair__in=pairs_of(person).values("pk")),
    "slots": _slots,
    "votes": lambda person: Judgment.objects.filter(slot__in=_slots(person).values("pk")),
    "exposures": lambda person: Exposure.objects.filter(pair__in=pairs_of(person).values("pk")),
    "verdicts": lambda person: Consensus.objects.filter(pair__in=pairs_of(person).values("pk")),
    "preferences": lambda person: PreferencePair.objects.filter(pair__in=pairs_of(person).values("pk")),
    "adjudications": lambda person: Adjudication.objects.filter(pair__in=pairs_of(person).values("pk")),
    "study inputs": lambda person: StudyInput.objects.filter(group=person),
    "study videos": lambda person: StudyVideo.objects.filter(input__group=person),
    "study pairs": _study_pairs,
    "study tasks": lambda person: StudyTask.objects.filter(pair__in=_study_pairs(person).values("pk")),
    "study answers": lambda person: StudyAnswer.objects.filter(
        task__pair__in=_study_pairs(person).values("pk")
    ),
}
#: Tables that only join two others; their rows go with either.
JOINS = (Export.pairs.through, Qualification.slots.through, VersionComparison.instances.through)

#: What people write beside a vote may name somebody whom the vote is not about.
NOTES = (("votes", "note"), ("adjudications", "note"), ("study answers", "note"))

# -- columns of the tables that stay ----------------------------------------------------------------


class Text(StrEnum):
    """What a column of text or JSON of a table that stays may hold."""

    CODE = "what the program writes of itself: words of a fixed set, numbers, hashes, paths of other things"
    STRUCK = "may name a person's rows or files: they are struck out of it"
    FREE = "what people write of the site and of each other: whoever erases is told where the name occurs"


_CODE, _STRUCK, _FREE = Text.CODE, Text.STRUCK, Text.FREE

COLUMNS: Mapping[str, Mapping[str, Text]] = {
    "AnnotatorFlag": {"track": _CODE, "kind": _CODE, "evidence": _CODE, "outcome": _CODE, "note": _FREE},
    "AppliedThresholds": {"values": _CODE},
    "AuditEvent": {"verb": _CODE, "table": _CODE, "detail": _FREE, "previous_hash": _CODE, "hash": _CODE},
    "Claim": {"name": _CODE},
    "Disqualification": {"reason": _FREE, "lifted_because": _FREE},
    "EntryLink": {
        "name": _FREE,
        "token": _CODE,
        "id_parameter": _CODE,
        "consent_text": _FREE,
        "completion_code": _FREE,
        "completion_url": _FREE,
        "screened_out_url": _FREE,
    },
    "Erasure": {"name_hash": _CODE, "source_hash": _CODE, "report": _CODE},
    "Export": {
        "folder": _CODE,
        "content_hash": _CODE,
        "manifest": _CODE,
        "rule": _CODE,
        "withdrawn": _CODE,
    },
    # Rows of this table go once they are carried out.
    "FileRemoval": {"path": _STRUCK, "traces": _STRUCK, "error": _STRUCK},
    "JudgingWork": {"track": _CODE},
    "JudgmentFile": {
        "track": _CODE,
        "file_format": _CODE,
        "status": _CODE,
        "path": _CODE,
        "sha256": _CODE,
        "error": _CODE,
        "withdrawn": _CODE,
    },
    "ModelVersion": {
        "name": _FREE,
        "kind": _CODE,
        "state": _CODE,
        "base_model": _CODE,
        "tokenizer_sha256": _CODE,
        "weights_sha256": _CODE,
        "adapter_path": _CODE,
    },
    "Participant": {"id_parameter": _CODE, "external_id": _FREE},
    "Qualification": {"track": _CODE},
    "Round": {
        "kind": _CODE,
        "state": _CODE,
        "name": _FREE,
        "stopping": _CODE,
        "sampler": _CODE,
        "dpo": _CODE,
    },
    "RoundFigures": {"inputs_hash": _CODE, "figures": _CODE},
    "Run": {"stage": _CODE, "folder": _CODE, "status": _CODE, "error": _STRUCK, "result": _STRUCK},
    "RunMetric": {"values": _STRUCK},
    "Shard": {
        "status": _CODE,
        "worker": _CODE,
        "device": _CODE,
        "software": _CODE,
        "facts": _CODE,
        "error": _STRUCK,
    },
    "Study": {"name": _FREE, "form": _CODE, "error": _STRUCK},
    "StudyModel": {"arm": _FREE, "label": _FREE},
    "Supersession": {"reason": _FREE},
    "User": {
        "password": _CODE,
        "username": _FREE,
        "first_name": _FREE,
        "last_name": _FREE,
        "email": _FREE,
        "role": _CODE,
    },
    "VoteFit": {"track": _CODE, "model": _CODE, "inputs_hash": _CODE},
    "WebhookEndpoint": {"url": _CODE, "secret": _CODE, "events": _CODE},
    "WebhookMessage": {"event": _CODE, "data": _CODE, "answer": _FREE},
}

# -- files ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A kind of file in the storage.

    Attributes:
        name: how people call it, and how `personal_data_queries.FILES` finds a person's.
        pattern: a regular expression of its paths, relative to the storage.
        holds: what of a person may be in it.
        is_reached: whether erasure finds it; `OUT_OF_REACH` names what it does not.
    """

    name: str
    pattern: str
    holds: str
    is_reached: bool = True


_RUN = r"runs/(people|round-\d+)/"

#: Every kind of file that the product writes into its storage and that may hold a person.
PLACES = (
    Place("references", r"references/[0-9a-f]{32}/", "media, posters, crops, what detectors saw"),
    Place("videos", rf"{_RUN}sample-\d+/samples/", "videos of the person, also half-written ones"),
    Place("display copies", rf"{_RUN}sample-\d+/shown/", "copies of these videos that people are shown"),
    Place("clips of trainings", rf"{_RUN}dpo-\d+/samples/", "videos made while a model was trained"),
    Place("caches of trainings", rf"{_RUN}dpo-\d+/cache/", "encoded references, prompts and videos"),
    Place("models", rf"{_RUN}dpo-\d+/(adapter|checkpoints)/", "what was learned of many", is_reached=False),
    Place("evaluations", rf"{_RUN}evaluate-\d+/[^/]+/", "videos, and what metrics say of each"),
    Place("reports", rf"{_RUN}evaluate-\d+/report\.html", "pictures of the best and the worst videos"),
    Place("prompt runs", r"runs/people/prompts-\d+/", "what models said of the person's pictures"),
    Place("run records", rf"{_RUN}[a-z]+-\d+/[^/]+$", "prompts, paths, figures of each video"),
    Place("gold", r"gold/", "copies of videos, also beside other people's"),
    Place("studies", r"studies/\d+/", "copies of videos and references"),
    Place("exports", r"exports/round-\d+/", "frozen pairs, and what trainings encoded of them"),
    Place("judgment files", r"judgments/", "what annotators wrote of the person's videos"),
    Place("sets", r".*/media/[0-9a-f]{64}\.", "benchmark sets and datasets that were made into the storage"),
)
#: Columns that name stored files: as long as a row names a file, nobody removes it.
NAMING: tuple[tuple[QuerySet[Any], str], ...] = (
    (Reference.objects.all(), "path"),
    (Reference.objects.all(), "poster"),
    (InstanceReference.objects.all(), "path"),
    (InstanceReference.objects.all(), "poster"),
    (VideoSample.objects.all(), "path"),
    (VideoSample.objects.all(), "shown_path"),
    (StudyVideo.objects.all(), "path"),
    (JudgmentFile.objects.all(), "path"),
    (Export.objects.filter(withdrawn=""), "folder"),
    (ModelVersion.objects.all(), "adapter_path"),
)

# -- what nobody can reach from here ----------------------------------------------------------------

OUT_OF_REACH = (
    "backups of the database and of the storage: let them run out, or restore them and erase again",
    "models that were trained on this person: named above; archive them, and train again without",
    "files that were handed out: downloads of exports, judgments and adapters, benchmark sets and datasets "
    "outside the storage, videos of other models",
    "the folders that this person was imported from, and the logs of the servers",
    "the audit chain: it keeps numbers of rows, and what was stated of source, licence and consent",
)
