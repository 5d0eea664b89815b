"""Gold from what a round has already: pairs whose answer is known without anybody's time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from annotate.core.audit import record_event
from annotate.database import clock
from annotate.gold.queries import slots_to_repeat
from annotate.models import GoldKind, GoldPair, Instance, Round, Slot, Use, User, VideoPair, VideoSample
from annotate.people.queries import usable_references
from annotate.storage.opening import site_storage
from generator.media.display_copies import Frames, bend, write_display_copy
from generator.media.video import probe
from generator.records import Encoding
from rlhf.records import Track, Verdict

#: Working items of each kind, and how many people may see one.
ITEMS, BUDGET = 6, 30
#: A repeat comes this long after its pair at the earliest.
REPEAT_AFTER = timedelta(hours=20)

Change = Callable[[Frames], Frames]


@dataclass(frozen=True)
class Item:
    """One pair to be: the right video, and what stands against it.

    Attributes:
        kind: of gold.
        track: where the answer is known.
        instance: whose references and prompt are shown.
        right: the video that is better, or both where it is a tie.
        other: the source of the other one.
        change: makes the other one's frames, where they are not those of its source.
    """

    kind: GoldKind
    track: Track
    instance: Instance
    right: VideoSample
    other: VideoSample
    change: Change | None = None

    @property
    def instances(self) -> set[int]:
        """Those whose videos are shown: who has met one of them otherwise is not given the item."""
        return {self.right.instance_id, self.other.instance_id}


def make_gold(
    round: Round,
    actor: User | None = None,
    *,
    items: int = ITEMS,
    tell: Callable[[int], object] = lambda made: None,
) -> dict[str, int]:
    """Make what is missing of the round's gold, and return how many items of each kind are new.

    Making it again adds nothing but due repeats. Impostors and prompt swaps come only of people of whom
    something is usable, and who differ.
    """
    new = dict.fromkeys((str(kind) for kind in GoldKind), 0)
    training = items if settings.QUALIFY else 0
    used: Counter[int] = Counter()
    for kind_items in _items(round):
        wanted = list(_take(kind_items, items + training, used))
        # A small round's items are shared, or nobody could ever qualify.
        working = min(items, (len(wanted) + 1) // 2) if training else items
        for number, item in enumerate(wanted):
            new[item.kind] += _make(round, item, is_training=number >= working)
            tell(sum(new.values()))
    for slot in slots_to_repeat(round, before=clock.now() - REPEAT_AFTER):
        new[GoldKind.REPEAT] += _make_repeat(slot)
    _put_sources_last(round)
    if any(new.values()):
        record_event("make_gold", round, actor=actor, **new)
    return new


def _put_sources_last(round: Round) -> None:
    """Pairs whose videos are in gold, too, come last: whoever has met one is not given the gold any more."""
    copied = Q(copies__pairs_as_first__round=round) | Q(copies__pairs_as_second__round=round)
    sources = VideoSample.objects.filter(copied).values("instance")
    begun = Slot.objects.filter(pair=OuterRef("pair"), annotator__isnull=False)
    waiting = Slot.objects.filter(~Exists(begun), round=round, pair__gold=None, random_key__lt=1)
    waiting.filter(pair__instance__in=sources).update(random_key=F("random_key") + 1)


def retire(gold: GoldPair, actor: User) -> bool:
    """Show an item to nobody any more; what was said of it still counts. False when it was retired."""
    retired = GoldPair.objects.filter(pk=gold.pk, retired_at=None).update(retired_at=Now())
    if retired:
        record_event("retire_gold", gold, actor=actor)
    return bool(retired)


def _take(items: Iterable[Item], count: int, used: Counter[int]) -> Iterator[Item]:
    """So many of them, spread over instances as far as they go, since nobody meets an instance twice.

    Equals come by a hash: another order than that of the queue, and the same every time.
    """
    keyed = sorted(items, key=lambda item: _digest(item.kind, item.track, item.right.pk, item.other.pk))
    for _ in range(min(count, len(keyed))):
        least = min(range(len(keyed)), key=lambda n: sum(used[key] for key in keyed[n].instances))
        item = keyed.pop(least)
        used.update(item.instances)
        yield item


def _items(round: Round) -> Iterator[list[Item]]:
    """All that could be made, a list a kind and track."""
    pairs = list(_sources(round))
    for track in Track:
        yield [Item(GoldKind.SELF_PAIR, track, p.instance, p.first, p.first) for p in pairs]
    yield [
        Item(GoldKind.IMPOSTOR, Track.IDENTITY, p.instance, p.first, o.second)
        for p, o in _next_ones(pairs, _shows_somebody_else, first_step=len(pairs) // 2)
    ]
    yield [
        Item(GoldKind.PROMPT_SWAP, Track.CONTROLLABILITY, p.instance, p.first, o.second)
        for p, o in _next_ones(pairs, _asks_for_other_things)
    ]
    yield [Item(GoldKind.DEGRADED, Track.IDENTITY, p.instance, p.second, p.second, bend) for p in pairs]


def _sources(round: Round) -> Iterator[VideoPair]:
    people = usable_references(Use.SHOW).values("group")
    yield from (
        round.pairs.filter(gold=None, instance__group__in=people)
        .exclude(first__path="")
        .exclude(second__path="")
        .select_related("first__instance", "second__instance", "instance__prompt")
        .order_by("pk")
    )


def _next_ones(
    pairs: list[VideoPair], fits: Callable[[VideoPair, VideoPair], bool], *, first_step: int = 1
) -> Iterator[tuple[VideoPair, VideoPair]]:
    """Each pair with the next one that fits, going round.

    Pairs of a person stand together: a first step of half the round gives each of them another one.
    """
    for start, pair in enumerate(pairs):
        steps = range(first_step, first_step + len(pairs))
        others = (pairs[(start + step) % len(pairs)] for step in steps)
        other = next((other for other in others if fits(pair, other)), None)
        if other is not None:
            yield pair, other


def _shows_somebody_else(pair: VideoPair, other: VideoPair) -> bool:
    return pair.instance.group_id != other.instance.group_id


def _asks_for_other_things(pair: VideoPair, other: VideoPair) -> bool:
    """The same person, and nothing that one prompt changes is changed to the same by the other."""
    asked, others = (_changes(p.instance) for p in (pair, other))
    return pair.instance.group_id == other.instance.group_id and not set(asked.items()) & set(others.items())


def _changes(instance: Instance) -> Mapping[str, str]:
    return {item["element"]: item["target"] for item in instance.prompt.elements if item["changed"]}


def _make(round: Round, item: Item, *, is_training: bool) -> bool:
    """Both videos are display copies of their own, as those of every other pair are."""
    is_tie = item.kind == GoldKind.SELF_PAIR
    key = _digest("copy", round.pk, item.kind, item.track, item.right.pk, item.other.pk)
    right_first = int(key[:8], 16) % 2 == 0
    makers: list[tuple[VideoSample, Change | None]] = [(item.right, None), (item.other, item.change)]
    verdict = Verdict.TIE if is_tie else Verdict.FIRST if right_first else Verdict.SECOND
    return _store(
        round,
        item.instance,
        makers if right_first else makers[::-1],
        key,
        {str(item.track): str(verdict)},
        kind=item.kind,
        track=item.track,
        is_training=is_training,
        budget=BUDGET,
    )


def _make_repeat(slot: Slot) -> bool:
    pair = slot.pair
    makers: list[tuple[VideoSample, Change | None]] = [(pair.first, None), (pair.second, None)]
    key = _digest("repeated copy", slot.pk)
    facts = {"kind": GoldKind.REPEAT, "track": slot.track, "budget": 1, "repeats": slot}
    return _store(pair.round, pair.instance, makers, key, {}, **facts)


def _store(
    round: Round,
    instance: Instance,
    makers: list[tuple[VideoSample, Change | None]],
    key: str,
    verdicts: dict[str, str],
    **facts: Any,
) -> bool:
    """The files first, then all rows at once; False when they are there already."""
    digests = [_digest(key, number) for number in range(2)]
    if VideoSample.objects.filter(settings_digest=digests[0]).exists():
        return False
    # A pair is of one encoding, even where its second video comes from another round.
    encoded = {name: value for name, value in makers[0][0].facts.items() if name == "encoding"}
    files = [_write(round, *maker, digest, encoded) for maker, digest in zip(makers, digests, strict=True)]
    with transaction.atomic():
        first, second = (
            VideoSample.objects.create(
                instance=instance,
                model_version=source.model_version,
                seed=source.seed,
                settings=source.settings,
                settings_digest=digest,
                copy_of=source,
                **file,
            )
            for (source, _), digest, file in zip(makers, digests, files, strict=True)
        )
        pair = VideoPair.objects.create(
            round=round, instance=instance, first=first, second=second, gold_verdicts=verdicts
        )
        GoldPair.objects.create(pair=pair, **facts)
    return True


def _write(
    round: Round, source: VideoSample, change: Change | None, digest: str, encoded: dict[str, str]
) -> dict[str, Any]:
    """The columns of the new file. Nobody trains on it, so it is its own display copy."""
    path = f"gold/round-{round.pk}/{digest[:32]}.mp4"
    storage = site_storage()
    with storage.local(source.path) as video, storage.writing(path) as copy:
        encoding = Encoding(encoded.get("encoding", Encoding.FULL))
        write_display_copy(video, copy, name=digest, change=change, encoding=encoding)
        facts = probe(copy)
    known = ("width", "height", "num_frames", "fps", "size_bytes")
    shown = {name: getattr(facts, name) for name in known} | encoded
    return {"path": path, "shown_path": path, "sha256": facts.sha256, "facts": shown}


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
