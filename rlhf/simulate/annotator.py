"""How a simulated annotator sees a pair, and how it answers: with stated accuracy, ties and side bias."""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from generator.media.video import read_clip
from generator.validation import Share, record
from rlhf.records import Track

if TYPE_CHECKING:
    from generator.portraits.oracle import Oracle, Reading

Choice = Literal["left", "right", "tie"]

#: Nats by which two videos without fault must differ for three in four annotators to see it: about a third of
#: the scatter of drawn clips that show the right person and the right elements (0.9 and 0.6).
JUST_NOTICEABLE: Mapping[Track, float] = {Track.IDENTITY: 0.25, Track.CONTROLLABILITY: 0.25}
#: What is added to that for each nat that the better video itself is off: two wrong faces are harder to tell
#: apart than two right ones. With both, two votes on a pair of the demo are equal in 0.74 of cases, see
#: docs/dpo.md; people are reported to agree in 0.70 to 0.80.
WEBER_SHARE = 0.03
#: Standard normal quantile of three in four.
_THREE_IN_FOUR = 0.6745


@record
class Behaviour:
    """How often an annotator is right, undecided, or just clicks left; each a share in [0, 1].

    Raises:
        ValueError: one is no share.
    """

    accuracy: Share = Field(description="of the answers that are neither a habitual tie nor a habitual left")
    tie_rate: Share = Field(description="share of all answers that are a tie whatever is shown")
    side_bias: Share = Field(description="share of the others that are left whatever is shown")

    def answer(self, truth: Choice, rng: random.Random) -> Choice:
        """What this annotator says when `truth` is the better side.

        A wrong answer is the other side; where the truth is a tie, it is either side.
        """
        if rng.random() < self.tie_rate:
            return "tie"
        if rng.random() < self.side_bias:
            return "left"
        if rng.random() < self.accuracy:
            return truth
        if truth == "tie":
            return rng.choice(("left", "right"))
        return "right" if truth == "left" else "left"


class Eye(Protocol):
    """Scores one clip, in nats below the best there is, from the bytes that the annotator was shown."""

    def identity(self, clip: bytes, references: Sequence[bytes]) -> float:
        """How much the clip shows the person of the references."""
        ...

    def controllability(self, clip: bytes, primary: bytes, changes: Mapping[str, str]) -> float:
        """How well the clip shows the changes and, in everything else, the primary reference."""
        ...


def read_scores(lease: Mapping[str, Any], media: Mapping[str, bytes], eye: Eye) -> tuple[Track, float, float]:
    """The track of a lease, and the true scores of its left and right clip.

    Args:
        lease: as the API gave it.
        media: the bytes of every address in the lease.
        eye: scores the clips.

    Raises:
        ValueError: the lease names no changed elements, so there is no truth to read.
    """
    track = Track(lease["track"])
    references = [media[reference["url"]] for reference in lease["references"]]
    clips = [media[lease["left"]], media[lease["right"]]]
    if track is Track.IDENTITY:
        left, right = (eye.identity(clip, references) for clip in clips)
    else:
        if lease["elements"] is None:
            raise ValueError(
                f"lease {lease['lease']} names no elements: without them there is no truth to read"
            )
        left, right = (eye.controllability(clip, references[0], lease["elements"]) for clip in clips)
    return track, left, right


def better_side(track: Track, left: float, right: float, rng: random.Random | None = None) -> Choice:
    """Which of two scores looks better.

    Args:
        track: of the question.
        left: score of the clip at the left, in nats, at most 0.
        right: of the other one.
        rng: an annotator's, who sees the difference through noise, so that one of a just noticeable size is
            seen the right way round three times in four; without it, the truth.

    Returns:
        The better side, or a tie where the difference seems smaller than half of what is noticeable.
    """
    noticeable = JUST_NOTICEABLE[track] - WEBER_SHARE * max(left, right)
    seen = left - right + (rng.gauss(0.0, noticeable / _THREE_IN_FOUR) if rng else 0.0)
    if abs(seen) < noticeable / 2:
        return "tie"
    return "left" if seen > 0 else "right"


@dataclass
class OracleEye:
    """Sees with the oracle of the portrait world; each file is read once, whatever its address."""

    oracle: Oracle
    readings: dict[str, Reading] = field(default_factory=dict)

    def identity(self, clip: bytes, references: Sequence[bytes]) -> float:
        """See `Eye`."""
        from generator.portraits.oracle import identity_log_likelihood

        return identity_log_likelihood(self._read(clip), [self._read(reference) for reference in references])

    def controllability(self, clip: bytes, primary: bytes, changes: Mapping[str, str]) -> float:
        """See `Eye`."""
        from generator.portraits.oracle import controllability_log_likelihood, most_likely

        return controllability_log_likelihood(
            self._read(clip), {**most_likely(self._read(primary)), **changes}
        )

    def _read(self, content: bytes) -> Reading:
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self.readings:
            with tempfile.NamedTemporaryFile() as file:
                file.write(content)
                file.flush()
                self.readings[digest] = self.oracle.read(read_clip(Path(file.name)).frames)
        return self.readings[digest]
