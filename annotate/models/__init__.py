"""The tables, in the order of the loop."""

from annotate.models.audit import AuditEvent
from annotate.models.claim import MAX_ATTEMPTS, Claim
from annotate.models.consent import Use
from annotate.models.curation import AppliedThresholds, Choice, CurationDecision
from annotate.models.download import FileFormat, JudgmentFile
from annotate.models.entry import Entry, EntryLink, JudgingWork, Participant
from annotate.models.gold import GoldKind, GoldPair, Qualification
from annotate.models.identity import (
    Curation,
    DifferentialPrompt,
    IdentityGroup,
    Instance,
    InstanceReference,
    Reference,
    Split,
    User,
    is_pseudonym,
)
from annotate.models.judgment import Exposure, Judgment, Side, Slot, Strength
from annotate.models.preference import Consensus, Export, PreferencePair
from annotate.models.quality import AnnotatorFlag, Disqualification, FlagOutcome, RoundFigures, Supersession
from annotate.models.removal import Erasure, FileRemoval
from annotate.models.round import (
    LIVE,
    MAX_PRIORITY,
    Round,
    RoundKind,
    RoundState,
    Run,
    RunMetric,
    RunStatus,
    Stage,
    VideoPair,
    VideoSample,
)
from annotate.models.shard import LIVE_SHARDS, Shard, ShardStatus
from annotate.models.statistics import Adjudication, VoteFit
from annotate.models.study import (
    STUDY_VERDICTS,
    Study,
    StudyAnswer,
    StudyInput,
    StudyModel,
    StudyPair,
    StudySeat,
    StudyTask,
    StudyVideo,
)
from annotate.models.version import ModelKind, ModelState, ModelVersion
from annotate.models.version_comparison import MAX_SEEDS, VersionComparison
from annotate.models.webhook import WebhookEndpoint, WebhookEvent, WebhookMessage

__all__ = [
    "LIVE",
    "LIVE_SHARDS",
    "STUDY_VERDICTS",
    "MAX_ATTEMPTS",
    "MAX_PRIORITY",
    "MAX_SEEDS",
    "Adjudication",
    "AnnotatorFlag",
    "AppliedThresholds",
    "AuditEvent",
    "Choice",
    "Claim",
    "Consensus",
    "Curation",
    "CurationDecision",
    "DifferentialPrompt",
    "Disqualification",
    "Entry",
    "EntryLink",
    "Erasure",
    "Export",
    "Exposure",
    "FileFormat",
    "FileRemoval",
    "GoldKind",
    "GoldPair",
    "FlagOutcome",
    "IdentityGroup",
    "Instance",
    "InstanceReference",
    "JudgingWork",
    "Judgment",
    "JudgmentFile",
    "ModelKind",
    "ModelState",
    "ModelVersion",
    "Participant",
    "PreferencePair",
    "Qualification",
    "Reference",
    "Round",
    "RoundKind",
    "RoundFigures",
    "RoundState",
    "Run",
    "RunMetric",
    "RunStatus",
    "Shard",
    "ShardStatus",
    "Side",
    "Slot",
    "Split",
    "Stage",
    "Strength",
    "Study",
    "StudyAnswer",
    "StudyInput",
    "StudyModel",
    "StudyPair",
    "StudySeat",
    "StudyTask",
    "StudyVideo",
    "Supersession",
    "Use",
    "User",
    "VersionComparison",
    "VideoPair",
    "VideoSample",
    "VoteFit",
    "WebhookEndpoint",
    "WebhookEvent",
    "WebhookMessage",
    "is_pseudonym",
]
