"""Starting a version's next round, which plans all of its pairs, and writing the card of many, as jobs."""

from __future__ import annotations

from django.urls import reverse

from annotate.background.kinds import JobKind, Outcome, Tell, register
from annotate.core.errors import RoundError
from annotate.models import Job, ModelVersion, Round
from annotate.registry.model_cards import card_of
from annotate.registry.versions import start_next_round
from annotate.rounds.queries import missing_samples


def start(job: Job, tell: Tell) -> Outcome:
    policy = ModelVersion.objects.get(pk=job.values["policy"])
    left_out: list[str] = []
    round = _started_by(job, policy) or start_next_round(
        job.values["name"],
        policy,
        job.asked_by,
        new_seeds=job.values["new_seeds"],
        say=left_out.append,
        tell=lambda planned: tell(planned, None),
    )
    missing = missing_samples(round, include_failed=True).count()
    videos = f"{missing} videos to make; advance it to start sampling" if missing else "all their videos"
    says = f"{round} has {round.pairs.count()} pairs, and {videos}."
    return Outcome(" ".join([says, *left_out]), reverse("round", args=[round.pk]), result={"round": round.pk})


def write_card(job: Job, tell: Tell) -> Outcome:
    version = ModelVersion.objects.get(pk=job.values["version"])
    return Outcome("The card is written.", job.values["link"], result={"card": card_of(version)})


def _started_by(job: Job, policy: ModelVersion) -> Round | None:
    """What a worker had started already that was killed before it could say so."""
    mine = Round.objects.filter(name=job.values["name"].strip(), policy=policy, created_by=job.asked_by)
    return mine.filter(created_at__gt=job.created_at).first() if job.attempts > 1 else None


NEXT_ROUND = register(JobKind("next_round", "Starting a round", start, refusals=(RoundError, ValueError)))
CARD = register(JobKind("model_card", "Writing a model card", write_card, is_look=True))
