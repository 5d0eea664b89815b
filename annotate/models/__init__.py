"""The tables, in the order of the loop."""

from annotate.models.audit import AuditEvent
from annotate.models.curation import AppliedThresholds, Choice, CurationDecision
from annotate.models.identity import (
    Curation,
    DifferentialPrompt,
    IdentityGroup,
    Instance,
    InstanceReference,
    Reference,
    Split,
    User,
)
from annotate.models.judgment import Exposure, Judgment, Side, Slot, Strength
from annotate.models.preference import Consensus, Export, PreferencePair
from annotate.models.round import (
    LIVE,
    ModelKind,
    ModelVersion,
    Round,
    Run,
    RunMetric,
    RunStatus,
    Stage,
    VideoPair,
    VideoSample,
)

__all__ = [
    "LIVE",
    "AppliedThresholds",
    "AuditEvent",
    "Choice",
    "Consensus",
    "Curation",
    "CurationDecision",
    "DifferentialPrompt",
    "Export",
    "Exposure",
    "IdentityGroup",
    "Instance",
    "InstanceReference",
    "Judgment",
    "ModelKind",
    "ModelVersion",
    "PreferencePair",
    "Reference",
    "Round",
    "Run",
    "RunMetric",
    "RunStatus",
    "Side",
    "Slot",
    "Split",
    "Stage",
    "Strength",
    "User",
    "VideoPair",
    "VideoSample",
]
