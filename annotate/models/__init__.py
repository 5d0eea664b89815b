"""The tables, in the order of the loop, and what their columns hold: rooms import all of it from here."""

# ruff: noqa: F401 - imported to be imported from here; mypy knows by `implicit_reexport`.

from annotate.models.audit import AuditEvent
from annotate.models.claim import MAX_ATTEMPTS, Claim
from annotate.models.consent import Use
from annotate.models.curation import AppliedThresholds, Choice, CurationDecision
from annotate.models.download import FileFormat, JudgmentFile
from annotate.models.entry import Entry, EntryLink, JudgingWork, Participant
from annotate.models.gold import GoldKind, GoldPair, Qualification
from annotate.models.identity import Curation, IdentityGroup, Reference, Split, User, is_pseudonym
from annotate.models.instance import DifferentialPrompt, Instance, InstanceReference
from annotate.models.job import Job
from annotate.models.judgment import Exposure, Judgment, Side, Slot, Strength
from annotate.models.preference import Consensus, Export, PreferencePair
from annotate.models.quality import AnnotatorFlag, Disqualification, FlagOutcome, RoundFigures, Supersession
from annotate.models.removal import Erasure, FileRemoval
from annotate.models.round import DEFAULT_PRIORITY, MAX_PRIORITY, Round, RoundKind, RoundState
from annotate.models.run import LIVE, Run, RunMetric, RunStatus, Stage
from annotate.models.run_worker import RunWorker
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
from annotate.models.tally import Subject, Tally
from annotate.models.training_set import TrainingSet
from annotate.models.version import MAX_WEIGHT, MixedAdapter, ModelKind, ModelState, ModelVersion
from annotate.models.version_comparison import MAX_SEEDS, VersionComparison
from annotate.models.video import VideoPair, VideoSample
from annotate.models.webhook import WebhookEndpoint, WebhookEvent, WebhookMessage
