"""The attacker of gold: keeps every answer that the site gives, and learns what gold looks like.

Everything is taken from HTTP responses. What the attacker is told, and no annotator ever is, is which of the
pairs of the first half were gold.
"""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import av
import cv2
import numpy as np
import scipy  # its parts are loaded when they are used: every process that runs tests reads this file
from django.test import Client
from numpy.typing import NDArray
from rest_framework.test import APIClient

Floats = NDArray[np.float64]
#: Bins of the histogram of a file's bytes.
BINS = 16


@dataclass
class Seen:
    """All that came back for one lease."""

    lease: str
    lease_bytes: int
    lease_s: float
    headers: list[str]
    files: list[bytes]
    file_s: float
    counts: list[int] = field(default_factory=list)

    @property
    def frames(self) -> list[Floats]:
        return [decoded(file) for file in self.files]


@dataclass(frozen=True)
class Verdict:
    """How well a classifier tells the second half."""

    name: str
    accuracy: float
    highest_by_chance: float
    auc: float
    auc_low: float
    auc_high: float

    def __str__(self) -> str:
        return (
            f"{self.name}: accuracy {self.accuracy:.3f} (by chance up to {self.highest_by_chance:.3f}), "
            f"AUC {self.auc:.3f} [{self.auc_low:.3f}, {self.auc_high:.3f}]"
        )

    @property
    def is_better_than_chance(self) -> bool:
        return self.accuracy > self.highest_by_chance or self.auc_low > 0.5


def collect(browser: Client, machine: APIClient, track: str, count: int) -> list[Seen]:
    """Lease, fetch and answer so many pairs; start page and metrics are looked at before and after."""
    seen = []
    before = _counts(browser, track)
    for _ in range(count):
        began = time.perf_counter()
        answer = machine.post(f"/api/tracks/{track}/lease/", {}, format="json")
        lease_s = time.perf_counter() - began
        if answer.status_code != 200:
            break
        given = answer.json()
        while_held = _counts(browser, track)
        began = time.perf_counter()
        media = [browser.get(given[side]) for side in ("left", "right")]
        file_s = time.perf_counter() - began
        one = Seen(
            given["lease"],
            len(answer.content),
            lease_s,
            [f"{name}: {_masked(value)}" for reply in (answer, *media) for name, value in reply.items()],
            [b"".join(reply.streaming_content) for reply in media],
            file_s,
        )
        sent = {"choice": "tie", "idempotency_key": str(uuid4())}
        stored = machine.post(f"/api/leases/{given['lease']}/judgment/", sent, format="json")
        assert stored.status_code == 201, stored.content
        after = _counts(browser, track)
        one.counts = [
            x - y for pair in ((before, while_held), (while_held, after)) for x, y in zip(*pair, strict=True)
        ]
        before = after
        seen.append(one)
    return seen


def features(seen: list[Seen]) -> Floats:
    """A row of numbers for each lease: everything but times.

    How far the two videos of a pair are from each other is left out: that equal videos are equal may be seen.
    """
    pictures = [one.frames for one in seen]
    names = sorted({line for one in seen for line in one.headers})
    rows = []
    apart = _nearest(np.stack([frames[0] for pair in pictures for frames in pair]))
    for place, one in enumerate(seen):
        sizes = sorted(len(file) for file in one.files)
        per_file = [
            _file_features(file, frames) for file, frames in zip(one.files, pictures[place], strict=True)
        ]
        rows.append(
            [
                one.lease_bytes,
                *sizes,
                sizes[1] / sizes[0],
                *one.counts,
                *(float(line in one.headers) for line in names),
                *sorted(apart[2 * place : 2 * place + 2]),
                *np.max(per_file, axis=0),
                *np.min(per_file, axis=0),
            ]
        )
    return np.array(rows, dtype=float)


def judge(rows: Floats, is_gold: NDArray[np.bool_], *, seed: int) -> list[Verdict]:
    """Learn on one half, and tell the other one."""
    # Here, since it takes a second in every process that only collects this file.
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    order = np.random.default_rng(seed).permutation(len(rows))
    learn, test = order[: len(rows) // 2], order[len(rows) // 2 :]
    models: dict[str, Any] = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000)),
        "forest": RandomForestClassifier(400, min_samples_leaf=2, random_state=seed, n_jobs=1),
    }
    found = []
    for name, model in models.items():
        scores = model.fit(rows[learn], is_gold[learn]).predict_proba(rows[test])[:, 1]
        found.append(_verdict(name, scores, is_gold[test]))
    return found


def decoded(file: bytes) -> Floats:
    with av.open(io.BytesIO(file)) as container:
        frames = [frame.reformat(format="rgb24", threads=1) for frame in container.decode(video=0)]
        return np.stack([frame.to_ndarray() for frame in frames]).astype(float)


def _verdict(name: str, scores: Floats, truth: NDArray[np.bool_]) -> Verdict:
    """Bounds: binomial, 95 %, around the larger class; Hanley and McNeil (1982) around the AUC."""
    from sklearn.metrics import roc_auc_score

    larger = max(truth.mean(), 1 - truth.mean())
    chance = scipy.stats.binomtest(round(larger * len(truth)), len(truth), larger).proportion_ci(0.95)
    auc = float(roc_auc_score(truth, scores))
    one, other = int(truth.sum()), int((~truth).sum())
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (one - 1) * (q1 - auc**2) + (other - 1) * (q2 - auc**2)) / (one * other)
    margin = 1.96 * variance**0.5
    return Verdict(
        name, float(((scores > 0.5) == truth).mean()), float(chance.high), auc, auc - margin, auc + margin
    )


def _counts(browser: Client, track: str) -> list[int]:
    """Every number on the start page, what the API says is open, and what monitors are told."""
    page = browser.get("/").content.decode()
    open_for = browser.get(f"/api/tracks/{track}/lease/")
    metrics = Client().get("/metrics").content.decode()
    numbers = [int(number) for number in re.findall(r"<dd>(\d+)", page)]
    # Votes given rise by one with each vote, whatever it is about.
    told = [float(value) for value in re.findall(r"^annotate_open_slots\{.*\} (\S+)$", metrics, re.MULTILINE)]
    said = [open_for.json()["open"]] if open_for.status_code == 200 else []
    return [*numbers, *said, *map(int, told)]


def _masked(value: str) -> str:
    """A lease and a session are new each time."""
    return re.sub(r"[0-9a-f-]{32,}|\d+", "#", str(value))


def _nearest(first_frames: Floats) -> Floats:
    """How far each video is from the nearest one of any other pair; two in a row are a pair."""
    small = first_frames[:, ::2, ::2].reshape(len(first_frames), -1).astype(np.float32)
    found = np.empty(len(small))
    for number, picture in enumerate(small):
        apart = np.abs(small - picture).mean(axis=1)
        apart[number // 2 * 2 : number // 2 * 2 + 2] = np.inf
        found[number] = apart.min()
    return found


def _file_features(file: bytes, frames: Floats) -> list[float]:
    values = np.frombuffer(file, np.uint8)
    histogram = np.bincount(values // (256 // BINS), minlength=BINS) / len(values)
    grey = frames.mean(axis=-1).astype(np.float32)
    fine = [cv2.Laplacian(frame, cv2.CV_32F) for frame in grey]
    steps = np.abs(np.diff(grey, axis=0)).mean() if len(grey) > 1 else 0.0
    blocks = np.abs(grey[:, :, 8::8] - grey[:, :, 7:-1:8]).mean() / (
        np.abs(np.diff(grey, axis=2)).mean() + 1e-6
    )
    return [
        len(file),
        *histogram,
        *_boxes(file),
        frames.mean(),
        frames.std(),
        float(np.var(fine)),
        float(np.abs(fine).mean()),
        steps,
        blocks,
    ]


def _boxes(file: bytes) -> list[float]:
    """How many boxes, and how long each of the known ones is."""
    sizes, start, count = dict.fromkeys((b"ftyp", b"moov", b"free", b"mdat"), 0), 0, 0
    while start < len(file):
        size, kind = int.from_bytes(file[start : start + 4], "big"), file[start + 4 : start + 8]
        if size < 8:
            break
        sizes[kind] = sizes.get(kind, 0) + size
        start, count = start + size, count + 1
    return [count, *(sizes[kind] for kind in (b"ftyp", b"moov", b"free", b"mdat")), len(file) - start]
