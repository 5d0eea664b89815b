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
from annotate.models.identity import IdentityGroup, Reference
from annotate.models.instance import DifferentialPrompt, Instance, InstanceReference
from annotate.models.judgment import Exposure, Judgment, Slot
from annotate.models.preference import Consensus, Export, PreferencePair
from annotate.models.statistics import Adjudication
from annotate.models.study import StudyAnswer, StudyInput, StudyPair, StudyTask, StudyVideo
from annotate.models.training_set import TrainingSet
from annotate.models.version import ModelVersion
from annotate.models.version_comparison import VersionComparison
from annotate.models.video import VideoPair, VideoSample

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
JOINS = (
    Export.pairs.through,
    Qualification.slots.through,
    TrainingSet.people.through,
    VersionComparison.instances.through,
)

#: What people write beside a vote may name somebody whom the vote is not about.
NOTES = (("votes", "note"), ("adjudications", "note"), ("study answers", "note"))

# -- columns of the tables that stay ----------------------------------------------------------------


class Text(StrEnum):
    """What a column of text or JSON of a table that stays may hold."""

    CODE = "what the program writes of itself: words of a fixed set, numbers, hashes, paths of other things"
    STRUCK = "may name a person's rows or files: they are struck out of it"
    FREE = "what people write of the site and of each other: whoever erases is told where the name occurs"


def _columns(*, code: str = "", struck: str = "", free: str = "") -> Mapping[str, Text]:
    """Names of columns, apart by spaces."""
    named = {Text.CODE: code, Text.STRUCK: struck, Text.FREE: free}
    return {name: text for text, names in named.items() for name in names.split()}


COLUMNS = {
    "AnnotatorFlag": _columns(code="track kind evidence outcome", free="note"),
    "AppliedThresholds": _columns(code="values"),
    "AuditEvent": _columns(code="verb table previous_hash hash", free="detail"),
    "Claim": _columns(code="name"),
    "Disqualification": _columns(free="reason lifted_because"),
    "EntryLink": _columns(
        code="token id_parameter", free="name consent_text completion_code completion_url screened_out_url"
    ),
    "Erasure": _columns(code="name_hash source_hash report"),
    "Export": _columns(code="folder content_hash manifest rule withdrawn votes_by"),
    # Rows of this table go once they are carried out.
    "FileRemoval": _columns(struck="path traces error"),
    "Job": _columns(code="kind values status link result", struck="outcome error"),
    "JudgingWork": _columns(code="track"),
    "JudgmentFile": _columns(code="track file_format status path sha256 error withdrawn"),
    "ModelVersion": _columns(
        code="kind state base_model tokenizer_sha256 weights_sha256 adapter_path", free="name"
    ),
    "Participant": _columns(code="id_parameter", free="external_id"),
    "Qualification": _columns(code="track"),
    "Round": _columns(code="kind state stopping sampler dpo", free="name"),
    "RoundFigures": _columns(code="inputs_hash figures"),
    "Run": _columns(code="stage folder status machine", struck="error result"),
    "RunMetric": _columns(struck="values"),
    "RunWorker": _columns(code="name description"),
    "Shard": _columns(code="status worker device software", struck="error facts"),
    "Study": _columns(code="form", struck="error", free="name"),
    "StudyModel": _columns(free="system label"),
    "Supersession": _columns(free="reason"),
    # The name of a folder that was read may hold anything; of our own sets it is the source of the people.
    "TrainingSet": _columns(code="content_hash facts withdrawn", free="name folder"),
    "Tally": _columns(code="subject name"),
    "User": _columns(code="password role", free="username first_name last_name email"),
    "VoteFit": _columns(code="track model inputs_hash"),
    "WebhookEndpoint": _columns(code="url secret events"),
    "WebhookMessage": _columns(code="event data", free="answer"),
}

# -- files ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A kind of file in the storage: a regular expression of its paths, and what of a person they may hold.

    `personal_file_queries.FILES` finds a person's by its name; `OUT_OF_REACH` names what erasure does not.
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
    Place("clips of trainings", rf"{_RUN}(dpo|sft)-\d+/samples/", "videos made while a model was trained"),
    Place("caches of trainings", rf"{_RUN}(dpo|sft)-\d+/cache/", "encoded references, prompts and videos"),
    Place(
        "models",
        rf"{_RUN}(dpo|sft|register)-\d+/(adapter|checkpoints)/",
        "what was learned of many",
        is_reached=False,
    ),
    Place("evaluations", rf"{_RUN}evaluate-\d+/[^/]+/", "videos, and what metrics say of each"),
    Place("reports", rf"{_RUN}evaluate-\d+/report\.html", "pictures of the best and the worst videos"),
    Place("prompt runs", r"runs/people/prompts-\d+/", "what models said of the person's pictures"),
    Place("run records", rf"{_RUN}[a-z]+-\d+/[^/]+$", "prompts, paths, figures of each video"),
    Place("gold", r"gold/", "copies of videos, also beside other people's"),
    Place("studies", r"studies/\d+/", "copies of videos and references"),
    Place("exports", r"exports/round-\d+/", "frozen pairs, and what trainings encoded of them"),
    Place("training sets", r"training-sets/", "instances with targets, and what trainings encoded of them"),
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
    (TrainingSet.objects.filter(withdrawn="", is_outside=False), "folder"),
    (ModelVersion.objects.all(), "adapter_path"),
)

# -- what nobody can reach from here ----------------------------------------------------------------

OUT_OF_REACH = (
    "backups of the database and of the storage: let them run out, or restore them and erase again",
    "models that were trained on this person: named above; archive them, and train again without",
    "files that were handed out: downloads of exports, judgments and adapters, benchmark sets and datasets "
    "outside the storage, videos of other models",
    "the folders that this person was imported from, folders of instances that workers read, and the logs of "
    "the servers",
    "the audit chain: it keeps numbers of rows, and what was stated of source, licence and consent",
)
