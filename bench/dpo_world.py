"""The drawn world from people to exported pairs, without a site: what `bench.dpo_round` trains on."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.files import file_sha256
from generator.frozen_set import MediaFile
from generator.instances import Draw, Vocabulary, draw_instances
from generator.portraits.__main__ import write_people
from generator.portraits.oracle import Oracle
from generator.portraits.world import ELEMENT_STATES, Split, phrase_change
from generator.records import IdentityGroup, InstancePlan, Reference, ReferenceKind
from rlhf.export.row import ExportReference, ExportRow, ExportSample, TrackVotes
from rlhf.records import Consensus, JointState, Track, Verdict
from rlhf.simulate.annotator import Behaviour, Choice, OracleEye, better_side, read_scores
from rlhf.votes.consensus import resolve_track
from rlhf.votes.pareto import resolve_pair

VOCABULARY = Vocabulary(states=ELEMENT_STATES, phrase=phrase_change)
VOTES_PER_TRACK = 3
#: Who looks at nothing: whatever is learned from their votes must not help.
COINS = (Behaviour(0.5, 0.0, 0.0),) * 8
#: Who judges: seven people who say what they see 95 times in 100, and one who mostly clicks left.
ANNOTATORS = (*[Behaviour(0.95, 0.05, 0.05)] * 7, Behaviour(0.95, 0.0, 0.9))


@dataclass(frozen=True)
class Question:
    """One input of one person.

    Attributes:
        person: folder of the person.
        plan: references by file name, and the prompt.
        kinds: of the person's files.
    """

    person: Path
    plan: InstancePlan
    kinds: Mapping[str, ReferenceKind]

    @property
    def references(self) -> list[dict[str, str]]:
        """As a request names them: the primary first."""
        names = (self.plan.primary, *self.plan.assistants)
        return [{"path": str(self.person / name), "kind": self.kinds[name]} for name in names]


def draw_questions(folder: Path, split: Split, *, people: int, each: int, seed: int) -> list[Question]:
    """Draw people into a folder, and questions to them, in an order that does not change."""
    return [
        question
        for person in write_people(folder, people, split, seed)
        for question in _questions_of(person, Draw(count=each, seed=seed))
    ]


def _questions_of(person: Path, draw: Draw) -> Iterator[Question]:
    files = json.loads((person / "identity.json").read_text(encoding="utf-8"))["files"]
    kinds = {name: ReferenceKind(facts["kind"]) for name, facts in files.items()}
    references = tuple(
        Reference(name, kinds[name], elements=facts["elements"]) for name, facts in files.items()
    )
    for plan in draw_instances(IdentityGroup(person.name, references), draw, VOCABULARY):
        yield Question(person.resolve(), plan, kinds)


def sample_items(
    questions: Sequence[Question], seeds: Callable[[int], Sequence[int]]
) -> list[dict[str, Any]]:
    """Items of a request of `generator.sample`, named `<question>-<place>`; a question's are neighbours.

    Args:
        questions: in order.
        seeds: of the videos of a question, by its number.
    """
    return [
        {
            "sample_id": f"{number}-{place}",
            "seed": seed,
            "prompt": question.plan.prompt.text,
            "references": question.references,
        }
        for number, question in enumerate(questions)
        for place, seed in enumerate(seeds(number))
    ]


def pair_seeds(number: int) -> tuple[int, int]:
    """Of the two videos of a question; no two videos share their noise."""
    return 2 * number, 2 * number + 1


def evaluation_request(
    questions: Sequence[Question],
    baseline: Mapping[str, Any],
    candidate: Mapping[str, Any],
    settings: Mapping[str, Any],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """A request of `rlhf.evaluate`."""
    return {
        "stage": "evaluate",
        "systems": {"baseline": {"model": dict(baseline)}, "candidate": {"model": dict(candidate)}},
        "compare": ["baseline", "candidate"],
        "metrics": ["oracle"],
        "settings": dict(settings),
        "seeds": list(seeds),
        "instances": [
            {
                "instance_id": str(number),
                "prompt": question.plan.prompt.text,
                "references": question.references,
                "id_group": [
                    {"path": str(question.person / name), "kind": kind}
                    for name, kind in question.kinds.items()
                ],
                "expected": {change.element: change.target for change in question.plan.prompt.elements},
                "changed": [change.element for change in question.plan.prompt.changed],
                "identity": question.person.name,
            }
            for number, question in enumerate(questions)
        ],
    }


#: Of a pair on each track: of the first and of the second video.
Scores = Mapping[Track, tuple[float, float]]
Truth = Mapping[Track, Choice]
#: The first video of a pair is shown to the oracle at the left.
SIDES: Mapping[str, Choice] = {"first": "left", "second": "right"}


#: Videos by `sample_id`.
Videos = Mapping[str, Path]


def score_pairs(questions: Sequence[Question], videos: Videos) -> list[Scores]:
    """What the oracle says of both videos of each pair, on each track."""
    eye = OracleEye(Oracle.load())
    return [_score_pair(number, question, videos, eye) for number, question in enumerate(questions)]


def _score_pair(number: int, question: Question, videos: Videos, eye: OracleEye) -> Scores:
    media = {f"{side}": videos[f"{number}-{side}"].read_bytes() for side in (0, 1)}
    group = {name: (question.person / name).read_bytes() for name in question.kinds}
    shown = {Track.IDENTITY: list(group), Track.CONTROLLABILITY: [question.plan.primary]}
    found = {}
    for track in Track:
        lease = {
            "track": track,
            "lease": number,
            "left": "0",
            "right": "1",
            "references": [{"url": name} for name in shown[track]],
            "elements": {change.element: change.target for change in question.plan.prompt.changed},
        }
        _, first, second = read_scores(lease, media | group, eye)
        found[track] = (first, second)
    return found


def truth_of(scores: Scores) -> Truth:
    """Which video is better on each track; `left` is the first one."""
    return {track: better_side(track, *pair) for track, pair in scores.items()}


def judge(
    pairs: Sequence[Scores], seed: int = 0, annotators: Sequence[Behaviour] = ANNOTATORS
) -> list[dict[Track, Consensus]]:
    """Both tracks of every pair by simulated annotators: nobody judges both, sides are shuffled."""
    return [
        _judge_pair(scores, annotators, random.Random(f"{seed}/{number}"))
        for number, scores in enumerate(pairs)
    ]


def _judge_pair(
    scores: Scores, annotators: Sequence[Behaviour], rng: random.Random
) -> dict[Track, Consensus]:
    people = rng.sample(annotators, len(Track) * VOTES_PER_TRACK)
    return {
        track: resolve_track(
            [_vote(people.pop(), track, scores[track], rng) for _ in range(VOTES_PER_TRACK)],
            wanted=VOTES_PER_TRACK,
        )
        for track in Track
    }


def _vote(annotator: Behaviour, track: Track, scores: tuple[float, float], rng: random.Random) -> Verdict:
    """The screen side is a coin's; the verdict is of the first or second video."""
    is_swapped = rng.random() < 0.5
    left, right = reversed(scores) if is_swapped else scores
    said = annotator.answer(better_side(track, left, right, rng), rng)
    swap: dict[Choice, Choice] = {"left": "right", "right": "left", "tie": "tie"}
    seen = swap[said] if is_swapped else said
    return {"left": Verdict.FIRST, "right": Verdict.SECOND, "tie": Verdict.TIE}[seen]


def choose(found: Mapping[Track, Consensus], rule: str) -> str | None:
    """Which video a rule prefers: `first`, `second` or None.

    Args:
        found: both tracks.
        rule: `pareto`; a track's name; or `pooled`: more votes on both tracks together, Pareto or not.
    """
    if rule == "pareto":
        joint = resolve_pair(found[Track.IDENTITY], found[Track.CONTROLLABILITY])
        return joint.chosen if joint.state is JointState.DOMINANT else None
    if rule in list(Track):
        verdict = found[Track(rule)].verdict
        return str(verdict) if verdict in (Verdict.FIRST, Verdict.SECOND) else None
    votes = Counter[Verdict]()
    for consensus in found.values():
        votes.update(consensus.counts)
    lead = votes[Verdict.FIRST] - votes[Verdict.SECOND]
    return None if lead == 0 else "first" if lead > 0 else "second"


def export_rows(
    questions: Sequence[Question], videos: Videos, judged: Sequence[Mapping[Track, Consensus]], rule: str
) -> Iterator[ExportRow]:
    """The pairs that a rule prefers something in."""
    for number, (question, found) in enumerate(zip(questions, judged, strict=True)):
        chosen = choose(found, rule)
        if chosen is None:
            continue
        sides = [
            ExportSample(_media(videos[f"{number}-{side}"]), seed)
            for side, seed in enumerate(pair_seeds(number))
        ]
        yield ExportRow(
            pair_id=number,
            id_group=question.person.name,
            references=tuple(
                ExportReference(_media(Path(item["path"])), ReferenceKind(item["kind"]))
                for item in question.references
            ),
            differential_prompt=question.plan.prompt.text,
            elements=question.plan.prompt.elements,
            chosen=sides[chosen == "second"],
            rejected=sides[chosen == "first"],
            tracks={track: TrackVotes.from_consensus(consensus) for track, consensus in found.items()},
            model_version="sft",
            licence="CC0-1.0",
            is_simulated=True,
        )


def _media(path: Path) -> MediaFile:
    return MediaFile(path, file_sha256(path))
