"""Reads for supervised training: what a run would learn from, and what earlier ones took."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Collate

from annotate.models import (
    Curation,
    IdentityGroup,
    Instance,
    InstanceReference,
    ModelVersion,
    Reference,
    Run,
    RunStatus,
    Split,
    Stage,
    TrainingSet,
    Use,
    User,
)
from annotate.people.prompt_reader_queries import reader_of
from annotate.people.queries import accepted
from annotate.privacy.consent_queries import given, refusal
from annotate.tallies.queries import counts_of_site
from rlhf.training.set_facts import SetFacts, in_order, rate_name, size_name

#: Prompts that a model does not read whole, as a page names them.
UNREAD_SHOWN = 3


@dataclass(frozen=True)
class Chosen:
    """What a run would learn from: a set, or what one would hold that is frozen now.

    Attributes:
        facts: in numbers.
        digest: whether it is still the same.
        training_set: the set; None of one that would be frozen.
        instances: of one that would be; none of a set.
        why_no_consent: who in it does not, or no longer, agree to training; empty where all do.
        withheld: instances that would be in it, but show people who did not agree.
        why_withheld: who they are and what to do.
        unread: instances whose prompts the model does not read whole, each with what is wrong.
        num_unread: all of these.
    """

    facts: SetFacts
    digest: str
    training_set: TrainingSet | None
    instances: QuerySet[Instance]
    why_no_consent: str = ""
    withheld: int = 0
    why_withheld: str = ""
    unread: tuple[str, ...] = ()
    num_unread: int = 0

    def to_json(self) -> dict[str, Any]:
        """Of one that would be frozen now, all but the instances."""
        left = {name: getattr(self, name) for name in _TOLD}
        return left | {"facts": asdict(self.facts), "unread": list(self.unread)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Chosen:
        told = {"facts": SetFacts(**found["facts"]), "unread": tuple(found["unread"])}
        return cls(**{**found, **told}, training_set=None, instances=Instance.objects.none())


#: What is told of a set that would be frozen now.
_TOLD = ("digest", "why_no_consent", "withheld", "why_withheld", "num_unread")
#: Targets of instances that are looked at within a request, among so many references; more are looked at by a
#: worker.
QUICK_INSTANCES, QUICK_REFERENCES = 2_000, 10_000


def is_quick() -> bool:
    """Whether a request may wait for a look at all that a set would hold."""
    counts = counts_of_site()
    if sum(counts[f"references.{state}"] for state in Curation.values) > QUICK_REFERENCES:
        return False
    targets = InstanceReference.objects.filter(position=None).order_by()[: QUICK_INSTANCES + 1]
    return targets.count() <= QUICK_INSTANCES


def visible_sets(user: User) -> QuerySet[TrainingSet]:
    sets = TrainingSet.objects.select_related("created_by").order_by("-id")
    return sets if user.is_lead else sets.none()


def usable_sets(user: User) -> QuerySet[TrainingSet]:
    return visible_sets(user).filter(withdrawn="")


def sources() -> list[str]:
    """Where people come from of whom something can be learned."""
    found = learnable().order_by().values_list("group__source", flat=True).distinct()
    return sorted(found)


def learnable() -> QuerySet[Instance]:
    """Instances with a target, whole and of people who are not held out."""
    places = InstanceReference.objects.filter(instance=OuterRef("pk"))
    usable = accepted(Reference.objects.all()).values("pk")
    return Instance.objects.filter(
        Exists(places.filter(position=None)),
        ~Exists(places.exclude(reference__in=usable)),
        group__split=Split.TRAIN,
    )


def chosen_now(policy: ModelVersion, source: str) -> Chosen:
    """What a set would hold that is frozen now, of the people of a source or of all."""
    every = learnable().filter(group__source=source) if source else learnable()
    agreed = every.filter(given("group", Use.TRAIN))
    unread = _unread(policy, agreed)
    instances = agreed.exclude(prompt__in=unread).order_by(
        Collate("group__source", "C"), Collate("group__pseudonym", "C"), "digest"
    )
    content = hashlib.sha256()
    for row in instances.values_list("pk", "prompt_id").iterator():
        content.update(repr(row).encode())
    left_out = agreed.filter(prompt__in=unread)
    named = left_out.select_related("group").order_by("pk")[:UNREAD_SHOWN]
    return Chosen(
        facts=facts_of(instances),
        digest=content.hexdigest()[:16],
        training_set=None,
        instances=instances,
        withheld=every.count() - agreed.count(),
        why_withheld=refusal(people_of(every), Use.TRAIN),
        unread=tuple(f"{one}: {unread[one.prompt_id]}" for one in named),
        num_unread=left_out.count(),
    )


def chosen_set(training_set: TrainingSet) -> Chosen:
    return Chosen(
        facts=SetFacts(**training_set.facts),
        digest=training_set.content_hash[:16],
        training_set=training_set,
        instances=Instance.objects.none(),
        why_no_consent=why_no_consent(training_set),
    )


def why_no_consent(training_set: TrainingSet) -> str:
    """Why nothing may be learned from a set now, and what to do; empty where everybody agrees."""
    if training_set.withdrawn:
        return f"{training_set} was withdrawn ({training_set.withdrawn}); train on a set that is frozen now."
    held_out = training_set.people.exclude(split=Split.TRAIN).order_by("name").first()
    if held_out is not None:
        return (
            f"{held_out} is in the split {held_out.split}, on which models are measured; "
            "leave their files out."
        )
    says = refusal(training_set.people.all(), Use.TRAIN)
    if says and not training_set.is_outside:
        says += " A set that is frozen now leaves them out."
    return says


def people_of(instances: QuerySet[Instance]) -> QuerySet[IdentityGroup]:
    return IdentityGroup.objects.filter(Exists(instances.filter(group=OuterRef("pk")).order_by()))


def people_with_files(hashes: Iterable[str]) -> QuerySet[IdentityGroup]:
    """People here of whom one of these files is, as it was given to the site or as the site keeps it."""
    wanted = list(hashes)
    theirs = Reference.objects.filter(group=OuterRef("pk"))
    crops = InstanceReference.objects.filter(reference__group=OuterRef("pk"), sha256__in=wanted)
    files = theirs.filter(Q(sha256__in=wanted) | Q(source_sha256__in=wanted))
    return IdentityGroup.objects.filter(Exists(files) | Exists(crops))


def _unread(policy: ModelVersion, instances: QuerySet[Instance]) -> dict[int, str]:
    """Prompts that the model does not read whole, and what is wrong with each."""
    reader = reader_of(policy)
    if reader is None:
        return {}
    prompts = instances.order_by().values_list("prompt_id", "prompt__text").distinct()
    return {key: why for key, text in prompts.iterator() if (why := reader.read(text).problem)}


def facts_of(instances: QuerySet[Instance]) -> SetFacts:
    """Counted by the database, however many there are."""
    plain = instances.order_by()
    licences = dict(plain.values_list("group__licence").annotate(number=Count("pk")).order_by("-number"))
    shown = plain.annotate(number=Count("places", filter=Q(places__position__isnull=False)))
    lengths = shown.values_list("number", flat=True)
    targets = InstanceReference.objects.filter(position=None, instance__in=plain.values("pk")).order_by()
    measured = ("reference__fps", "reference__width", "reference__height", "reference__num_frames")
    rates: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for fps, width, height, frames, number in targets.values_list(*measured).annotate(Count("pk")):
        rates[rate_name(fps)] += number
        sizes[size_name(width, height, frames)] += number
    return SetFacts(
        num_instances=plain.count(),
        num_people=plain.values("group").distinct().count(),
        num_clips=targets.values("reference").distinct().count(),
        licences=licences,
        rates=in_order(rates),
        sizes=in_order(sizes),
        references=in_order(Counter(str(number) for number in lengths.iterator())),
    )


def finished_trainings(policy: ModelVersion, largest: str, limit: int = 5) -> list[Run]:
    """The newest finished SFT runs of the same base at the same size of targets."""
    done = Run.objects.filter(stage=Stage.SFT, status=RunStatus.DONE, policy__base_model=policy.base_model)
    alike = (run for run in done.select_related("training_set").order_by("-id").iterator())
    found = (run for run in alike if run.training_set and size_of(run.training_set) == largest)
    return list(islice(found, limit))


def size_of(training_set: TrainingSet) -> str:
    return SetFacts(**training_set.facts).largest


def runs_on(training_set: TrainingSet) -> QuerySet[Run]:
    return training_set.runs.filter(stage=Stage.SFT).select_related("model_version", "policy").order_by("-id")


def set_made_by(run: Run) -> TrainingSet | None:
    """The set that a finished look at a folder made, or found to be known already."""
    if not run.result:
        return None
    return TrainingSet.objects.filter(content_hash=run.result["content_hash"]).first()
