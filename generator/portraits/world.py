"""The portrait world: who a drawn person is, what can change about them, and how a change is said.

Everything here is plain numpy, so that the web may load it too. An identity is what stays; the seven
elements are what may change from clip to clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from generator.records import ELEMENTS

#: The shipped tiny AnyID, in the Diffusers layout.
CHECKPOINT = Path(__file__).parent / "checkpoint"
#: A LoRA on it that knows no primary reference and no differential prompt, for the ablation.
ABLATION = Path(__file__).parent / "ablation"
#: A LoRA on it that was supervised with faulty data: what preference rounds begin with.
SUPERVISED = Path(__file__).parent / "supervised"

Split = Literal["train", "eval", "benchmark"]

#: Where each split's identity seeds start. The checkpoint was trained on seeds from `CHECKPOINT_SEEDS`.
SPLIT_SEEDS: Mapping[str, int] = {"train": 10_000_000, "eval": 20_000_000, "benchmark": 30_000_000}
CHECKPOINT_SEEDS = 0

#: What each element can be, as a short phrase. The order of the elements is the paper's.
ELEMENT_STATES: Mapping[str, tuple[str, ...]] = {
    "camera_shot": ("close-up", "medium shot", "wide shot"),
    "hairstyle": ("short hair", "long hair", "curly hair", "a bun", "pigtails", "a mohawk"),
    "clothing": (
        "a red shirt",
        "a blue hoodie",
        "a green sweater",
        "a black suit",
        "a yellow coat",
        "a striped shirt",
        "a white shirt",
    ),
    "accessories": (
        "no accessories",
        "round glasses",
        "sunglasses",
        "a red cap",
        "headphones",
        "an orange scarf",
    ),
    "expression": ("neutral", "smiling", "surprised", "sad", "angry"),
    "action": (
        "holding still",
        "turning left",
        "turning right",
        "nodding",
        "waving",
        "tilting the head",
    ),
    "background": (
        "a grey studio",
        "a beach",
        "a forest",
        "a brick wall",
        "a city at night",
        "a pink sunset",
        "a snowy mountain",
    ),
}

#: Several ways to ask for a change of each element; `{}` takes the state.
_PHRASINGS: Mapping[str, tuple[str, ...]] = {
    "camera_shot": (
        "The camera shows a {}.",
        "The framing changes to a {}.",
        "Now it is a {}.",
        "Film the person in a {}.",
    ),
    "hairstyle": (
        "The person now has {}.",
        "The hairstyle changes to {}.",
        "The hair is now {}.",
        "Give the person {}.",
    ),
    "clothing": (
        "The person now wears {}.",
        "The clothing changes to {}.",
        "The outfit is now {}.",
        "Dress the person in {}.",
    ),
    "accessories": (
        "The person now has {}.",
        "The accessories change to {}.",
        "The person is seen with {}.",
        "Add {}.",
    ),
    "expression": (
        "The person is now {}.",
        "The expression changes to {}.",
        "The face looks {}.",
        "Make the person look {}.",
    ),
    "action": (
        "The person is now {}.",
        "The action changes to {}.",
        "In this video the person is {}.",
        "Show the person {}.",
    ),
    "background": (
        "The background is now {}.",
        "The background changes to {}.",
        "The scene is {}.",
        "Behind the person is {}.",
    ),
}

SKIN_TONES = np.array(
    [[250, 218, 190], [236, 188, 150], [208, 152, 108], [168, 112, 72], [122, 78, 50], [82, 52, 38]],
    np.float32,
)
HAIR_COLOURS = np.array(
    [
        [28, 24, 26],
        [92, 54, 28],
        [224, 184, 88],
        [186, 72, 28],
        [214, 214, 218],
        [60, 84, 190],
        [214, 84, 150],
    ],
    np.float32,
)
EYE_COLOURS = np.array([[70, 42, 20], [40, 110, 210], [40, 150, 70], [120, 120, 130]], np.float32)
FACIAL_HAIR = ("none", "moustache", "beard")
CHEEK_MARKS = ("none", "birthmark", "tattoo", "plaster")
CHEEK_COLOURS = np.array([[0, 0, 0], [150, 30, 60], [20, 90, 220], [250, 240, 200]], np.float32)
EAR_RINGS = ("none", "gold", "turquoise")
EAR_COLOURS = np.array([[0, 0, 0], [255, 200, 40], [30, 220, 210]], np.float32)

#: The discrete traits and how many values each has; the rest of an `Identity` is continuous in [0, 1].
CHOICES: Mapping[str, int] = {
    "skin": len(SKIN_TONES),
    "hair": len(HAIR_COLOURS),
    "eyes": len(EYE_COLOURS),
    "facial_hair": len(FACIAL_HAIR),
    "left_cheek": len(CHEEK_MARKS),
    "right_cheek": len(CHEEK_MARKS),
    "left_ear": len(EAR_RINGS),
    "right_ear": len(EAR_RINGS),
}


@dataclass(frozen=True)
class Identity:
    """What stays the same in every clip of one drawn person.

    The first eight are discrete (an index into the tables above), the others are in [0, 1]. Cheek marks
    and ear rings sit at the sides of the head: a frontal view hides them, a turned one shows one side.
    Left and right are the viewer's.
    """

    skin: int
    hair: int
    eyes: int
    facial_hair: int
    left_cheek: int
    right_cheek: int
    left_ear: int
    right_ear: int
    head_width: float
    jaw: float
    eye_size: float
    eye_spacing: float
    brow: float
    nose_length: float
    nose_width: float
    mouth_width: float
    lip_colour: float

    def vector(self) -> np.ndarray:
        """The identity as numbers.

        Returns:
            (D,) float32 in [0, 1]: one-hot of each discrete trait, then the continuous ones.
        """
        parts = [np.eye(count, dtype=np.float32)[getattr(self, name)] for name, count in CHOICES.items()]
        parts.append(np.array([getattr(self, name) for name in CONTINUOUS], np.float32))
        return np.concatenate(parts)


#: The continuous traits of an `Identity`, in order.
CONTINUOUS = tuple(item.name for item in fields(Identity) if item.name not in CHOICES)

#: Length of `Identity.vector()`.
IDENTITY_SIZE = sum(CHOICES.values()) + len(CONTINUOUS)


def draw_identity(seed: int) -> Identity:
    """The person of a seed; equal seeds give equal persons."""
    rng = np.random.default_rng([seed, 7])
    discrete = {name: int(rng.integers(count)) for name, count in CHOICES.items()}
    continuous = {name: round(float(rng.random()), 3) for name in CONTINUOUS}
    return Identity(**discrete, **continuous)  # type: ignore[arg-type]


def draw_elements(rng: np.random.Generator) -> dict[str, str]:
    """A state for each of the seven elements, uniformly and independently."""
    return {element: str(rng.choice(ELEMENT_STATES[element])) for element in ELEMENTS}


def change_elements(elements: Mapping[str, str], share: float, rng: np.random.Generator) -> dict[str, str]:
    """Change each of the seven elements with probability `share` to another state, never to its own."""
    changed = dict(elements)
    for element in ELEMENTS:
        if rng.random() < share:
            others = [state for state in ELEMENT_STATES[element] if state != elements[element]]
            changed[element] = str(rng.choice(others))
    return changed


def phrase_change(element: str, state: str, choice: np.random.Generator | int) -> str:
    """One sentence that asks for a state.

    Args:
        element: one of the seven.
        state: one of `ELEMENT_STATES[element]`.
        choice: which phrasing, or a source of chance that picks one.

    Returns:
        A sentence such as "The person now wears a red shirt."

    Raises:
        ValueError: unknown element or state.
    """
    if element not in ELEMENT_STATES:
        raise ValueError(f"unknown element {element!r}; it must be one of {', '.join(ELEMENTS)}")
    if state not in ELEMENT_STATES[element]:
        raise ValueError(
            f"{element} cannot be {state!r}; it must be one of {', '.join(ELEMENT_STATES[element])}"
        )
    phrasings = _PHRASINGS[element]
    index = choice if isinstance(choice, int) else int(choice.integers(len(phrasings)))
    return phrasings[index % len(phrasings)].format(state)
