"""Other words for the states of the portrait world, and what each state has in common with others."""

from __future__ import annotations

from collections.abc import Mapping

from generator.portraits.world import ELEMENT_STATES

#: Ways to say a state beside its own name; some share no word with it.
PARAPHRASES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "camera_shot": {
        "close-up": ("a tight close-up of the face", "the face fills the frame"),
        "medium shot": ("a shot from the chest up", "framed at mid distance"),
        "wide shot": ("a wide view", "the camera stands far back"),
    },
    "hairstyle": {
        "short hair": ("short, cropped hair", "hair cut close to the head"),
        "long hair": ("long flowing hair", "hair falling over the shoulders"),
        "curly hair": ("a head of curls", "ringlets"),
        "a bun": ("hair tied in a bun", "hair knotted on top of the head"),
        "pigtails": ("two pigtails", "hair tied in two bunches at the sides"),
        "a mohawk": ("a mohawk cut", "one upright strip of hair with bare sides"),
    },
    "clothing": {
        "a red shirt": ("a shirt in red", "a crimson top"),
        "a blue hoodie": ("a hooded blue sweatshirt", "navy pullover with a hood"),
        "a green sweater": ("a knitted green sweater", "an emerald jumper"),
        "a black suit": ("a dark formal suit", "black jacket and tie"),
        "a yellow coat": ("a coat in bright yellow", "a lemon overcoat"),
        "a striped shirt": ("a shirt with stripes", "a banded top"),
        "a white shirt": ("a plain white shirt", "a pale top"),
    },
    "accessories": {
        "no accessories": ("nothing worn besides clothes", "none"),
        "round glasses": ("glasses with round frames", "circular spectacles"),
        "sunglasses": ("a pair of sunglasses", "dark shades"),
        "a red cap": ("a cap in red", "a scarlet baseball hat"),
        "headphones": ("over-ear headphones", "a headset"),
        "an orange scarf": ("a scarf in orange", "a tangerine neck wrap"),
    },
    "expression": {
        "neutral": ("a neutral face", "calm, showing no emotion"),
        "smiling": ("a friendly smile", "beaming with joy"),
        "surprised": ("a surprised look", "eyes wide, mouth open"),
        "sad": ("a sad face", "downcast, the corners of the mouth hanging"),
        "angry": ("an angry look", "scowling with lowered brows"),
    },
    "action": {
        "holding still": ("keeping still", "no movement at all"),
        "turning left": ("turning the head to the left", "looks away leftwards"),
        "turning right": ("turning the head to the right", "looks away rightwards"),
        "nodding": ("nodding the head", "moves the chin up and down"),
        "waving": ("waving a hand", "greets the viewer"),
        "tilting the head": ("tilting the head sideways", "leans an ear towards a shoulder"),
    },
    "background": {
        "a grey studio": ("a plain grey studio backdrop", "an even neutral wall"),
        "a beach": ("a sandy beach", "the seaside with waves"),
        "a forest": ("a green forest", "among trees"),
        "a brick wall": ("a wall of red bricks", "weathered masonry"),
        "a city at night": ("a city by night", "lit skyscrapers under a dark sky"),
        "a pink sunset": ("a sunset in pink", "rosy evening sky"),
        "a snowy mountain": ("a mountain with snow", "an alpine peak in winter"),
    },
}

#: What a state means, as words that related states share.
CONCEPTS: Mapping[str, Mapping[str, frozenset[str]]] = {
    element: {state: frozenset(words.split()) for state, words in states.items()}
    for element, states in {
        "camera_shot": {
            "close-up": "near face",
            "medium shot": "head chest",
            "wide shot": "chest far surroundings",
        },
        "hairstyle": {
            "short hair": "loose short",
            "long hair": "loose long",
            "curly hair": "loose curled",
            "a bun": "tied one",
            "pigtails": "tied two",
            "a mohawk": "shaved crest",
        },
        "clothing": {
            "a red shirt": "shirt red",
            "a blue hoodie": "pullover hood blue",
            "a green sweater": "pullover green",
            "a black suit": "suit black",
            "a yellow coat": "coat yellow",
            "a striped shirt": "shirt striped",
            "a white shirt": "shirt white",
        },
        "accessories": {
            "no accessories": "nothing",
            "round glasses": "glasses round",
            "sunglasses": "glasses dark",
            "a red cap": "cap red",
            "headphones": "headphones",
            "an orange scarf": "scarf orange",
        },
        "expression": {
            "neutral": "calm",
            "smiling": "emotion joy",
            "surprised": "emotion surprise",
            "sad": "emotion gloomy sorrow",
            "angry": "emotion gloomy anger",
        },
        "action": {
            "holding still": "still",
            "turning left": "head turn left",
            "turning right": "head turn right",
            "nodding": "head nod",
            "waving": "hand wave",
            "tilting the head": "head tilt",
        },
        "background": {
            "a grey studio": "indoors plain",
            "a beach": "nature sea",
            "a forest": "nature trees",
            "a brick wall": "wall bricks",
            "a city at night": "city night sky",
            "a pink sunset": "sunset pink sky",
            "a snowy mountain": "nature mountain snow",
        },
    }.items()
}

#: The state that each phrase means, by element.
STATES: Mapping[str, Mapping[str, str]] = {
    element: {phrase: state for state in states for phrase in (state, *PARAPHRASES[element][state])}
    for element, states in ELEMENT_STATES.items()
}
