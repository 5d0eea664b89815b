"""The clips by which a training shows what it is learning, beside its parent's."""

from __future__ import annotations

from pathlib import PurePosixPath

from annotate.models import Run, VideoPair
from annotate.storage.opening import site_storage

#: Beside the parent's, as many of the newest are shown.
NEWEST = 3


def clip_path(run: Run, step: int, pair_id: int) -> str:
    return f"{run.folder}/samples/step-{step}/{pair_id}.mp4"


def shown_pairs(run: Run) -> list[tuple[VideoPair, list[int]]]:
    """Pairs of which clips were made, and the steps after which; step 0 is the parent."""
    steps: dict[int, list[int]] = {}
    paths = (PurePosixPath(item.key) for item in site_storage().list(f"{run.folder}/samples"))
    for path in (path for path in paths if path.match("samples/step-*/*.mp4")):
        steps.setdefault(int(path.stem), []).append(int(path.parent.name.removeprefix("step-")))
    pairs = VideoPair.objects.filter(pk__in=steps).select_related("instance__prompt", "instance__group")
    in_order = ((pair, sorted(steps[pair.pk])) for pair in pairs.order_by("pk"))
    return [(pair, [first, *later[-NEWEST:]]) for pair, (first, *later) in in_order]
