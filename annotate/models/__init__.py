"""The tables, in the order of the loop."""

from annotate.models.audit import AuditEvent
from annotate.models.identity import (
    DifferentialPrompt,
    IdentityGroup,
    Instance,
    InstanceReference,
    Reference,
    Split,
    User,
)
from annotate.models.judgment import Exposure, Judgment, Side, Slot
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
    "AuditEvent",
    "Consensus",
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
    "User",
    "VideoPair",
    "VideoSample",
]
