"""What a model reads of prompts: kept with its version, so that nobody judges what it never read."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from django.db import transaction
from django.db.models import Q

from annotate.core.audit import record_event
from annotate.database.batches import batches
from annotate.judging.slots import stop_asking_for
from annotate.models import DifferentialPrompt, ModelVersion, Slot, VideoPair, VideoSample
from annotate.people.prompt_reader_queries import reader_of, tokenizer_path
from annotate.storage.opening import site_storage
from generator.prompts.limit import PromptLimit, find_limit

logger = logging.getLogger(__name__)


def learn_limits() -> int:
    """Learn how those versions read prompts of which it is not known; returns how many were learned.

    Versions registered before limits were kept. Where only GPU workers have the tokenizer, one of them finds
    the limit when the base is registered again.
    """
    learned = 0
    for version in ModelVersion.objects.filter(max_tokens=None).order_by("id"):
        try:
            learned += learn_limit(version)
        except (ValueError, OSError) as error:
            logger.warning("%s: how it reads prompts cannot be learned: %s", version, error)
    return learned


def learn_limit(version: ModelVersion, limit: PromptLimit | None = None) -> bool:
    """Keep a version's tokenizer and limit; False where they are kept already, or not on this machine.

    `limit` is what a worker has found, who has the model's files.
    """
    if reader_of(version) is not None:
        return False
    limit = limit or find_limit(version.base_model)
    if limit is None:
        return False
    # The file first: a row never names a missing one.
    if not site_storage().exists(tokenizer_path(limit.sha256)):
        site_storage().put(tokenizer_path(limit.sha256), limit.tokenizer.encode())
    with transaction.atomic():
        stored = ModelVersion.objects.select_for_update(no_key=True).get(pk=version.pk)
        if stored.max_tokens is not None:
            return False
        for target in (stored, version):
            target.max_tokens = limit.max_tokens
            target.special_tokens = limit.special_tokens
            target.tokenizer_sha256 = limit.sha256
        stored.save(update_fields=["max_tokens", "special_tokens", "tokenizer_sha256"])
        withhold_unread(stored)
    return True


def withhold_unread(version: ModelVersion) -> int:
    """Take back what was planned or made of prompts that the version does not read whole; how many pairs.

    Videos that are not made yet fail with the reason. Pairs of made ones are shown to nobody any more and
    exported nowhere: whoever judged them was asked about changes that the model never read. Votes stay.
    """
    reader = reader_of(version)
    assert reader is not None, "a limit was learned"
    mine = VideoSample.objects.filter(model_version=version)
    asked = DifferentialPrompt.objects.filter(pk__in=mine.order_by().values("instance__prompt"))
    withheld = 0
    for prompt in asked.iterator(chunk_size=1_000):
        if not (problem := reader.read(prompt.text).problem):
            continue
        mine.filter(instance__prompt=prompt, path="").update(error=problem)
        ours = Q(first__model_version=version) | Q(second__model_version=version)
        pairs = VideoPair.objects.filter(ours, instance__prompt=prompt, prompt_unread="")
        stop_asking_for(Slot.objects.filter(pair__in=pairs))
        withheld += pairs.update(prompt_unread=f"{version}: {problem}")
    if withheld:
        record_event("withhold_pairs", version, pairs=withheld)
    return withheld


def leave_out_unread(version: ModelVersion, samples: Iterable[VideoSample]) -> Iterator[VideoSample]:
    """Those videos whose prompts the version reads whole; the others fail with the reason.

    Where nobody knows here how the version reads, all are kept: the run itself fails single ones by name.
    """
    learn_limit(version)
    reader = reader_of(version)
    if reader is None:
        yield from samples
        return
    for batch in batches(samples):
        unread = defaultdict(list)
        for sample in batch:
            if problem := reader.read(sample.instance.prompt.text).problem:
                unread[problem].append(sample.pk)
            else:
                yield sample
        for problem, keys in unread.items():
            VideoSample.objects.filter(pk__in=keys, path="").update(error=problem)


def say_left_out(unread: Sequence[str]) -> str:
    """One line about instances that are left out."""
    more = f"; and {len(unread) - 3} more" if len(unread) > 3 else ""
    what, whose, them = (
        ("1 instance is", "its prompt", "it")
        if len(unread) == 1
        else (f"{len(unread)} instances are", "their prompts", "them")
    )
    return (
        f"{what} left out, since the model would not read {whose} whole: {'; '.join(unread[:3])}{more}; "
        f"edit {them}, or take a model that reads {them}"
    )
