"""The three stages in words: what a language model is asked, and how its reply is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from generator.prompts.asking import Asker, Question, Shown
from generator.prompts.forms import CHANGES, DESCRIPTION, UNSEEN, comparison
from generator.prompts.pictures import Medium, glance, jpeg
from generator.prompts.stages import Description
from generator.records import ELEMENTS

#: What belongs to each element, so that nothing is told twice or falls between two.
MEANINGS: Mapping[str, str] = {
    "camera_shot": "how close the camera is, its angle and how it moves",
    "hairstyle": "length, shape, and colour of the hair",
    "clothing": "every visible garment with colour, pattern and material",
    "accessories": "glasses, hats, headphones, scarves, jewellery; 'no accessories' where there are none",
    "expression": "what the face expresses, and how that develops",
    "action": "what the person does, in order; 'holding still' where nothing moves",
    "background": "the place behind the person, its light and time of day",
}

_ELEMENTS = "\n".join(f"- {element}: {MEANINGS[element]}" for element in ELEMENTS)

DESCRIBE = f"""You see one photo of a person, or frames of one video in order.
Describe the seven elements, each in one short phrase that could end the sentence "It changes to ...".
{_ELEMENTS}
Say only what can be seen; for an element that cannot be seen at all write "{UNSEEN}".
Do not describe who the person is: no face shape, age, skin or ethnicity."""

COMPARE = """Two descriptions of one person are given for some elements: a primary reference's and a target's.
Say for each element how alike they are in meaning, as a number from 0 to 1: 1 where both say the same thing,
in whatever words and in more or less detail; 0 where they have nothing in common."""

OBSERVE = f"""You see a primary reference and a target of one person, each as a photo or frames of a video.
Say what changes from the primary reference to the target, element by element.
{_ELEMENTS}
Write null for an element that is the same in both. For one that changes write how the target shows it
("target", a short phrase) and one sentence that asks for the change ("statement").
Say only what can be seen, and nothing about who the person is."""

#: Gives the pictures of a medium, as JPEG files.
Look = Callable[[Medium], tuple[bytes, ...]]


def look(medium: Medium) -> tuple[bytes, ...]:
    """A few frames of a file.

    Raises:
        ValueError: not readable.
        OSError: the file cannot be opened.
    """
    return tuple(jpeg(pixels) for pixels in glance(medium.path))


class AskedModel:
    """A model behind an `Asker` as `Describer`, `Comparer` and `Observer`: one question a medium or pair.

    Args:
        asker: of the model.
        look: gives what the model is shown of a medium.
    """

    def __init__(self, asker: Asker, look: Look = look) -> None:
        self._asker, self._look = asker, look

    def describe(self, medium: Medium) -> Description:
        """One question a medium; see `Describer`."""
        shown = Shown("the medium", medium, self._look(medium))
        question = Question(f"describe:{medium.medium_id}", DESCRIBE, DESCRIPTION, (shown,))
        reply = self._asker.ask(question)
        return {element: _phrase(reply[element]) for element in ELEMENTS}

    def compare(
        self, question_id: str, primary: Mapping[str, str], target: Mapping[str, str]
    ) -> Mapping[str, float]:
        """One question a pair; see `Comparer`."""
        facts = {
            element: {"primary": primary[element], "target": target[element]}
            for element in ELEMENTS
            if element in primary
        }
        question = Question(f"compare:{question_id}", COMPARE, comparison(facts), facts=facts)
        return {element: float(value) for element, value in self._asker.ask(question).items()}

    def changes(self, question_id: str, primary: Medium, target: Medium) -> Mapping[str, tuple[str, str]]:
        """One question a pair; see `Observer`."""
        media = (("the primary reference", primary), ("the target", target))
        shown = tuple(Shown(caption, medium, self._look(medium)) for caption, medium in media)
        reply = self._asker.ask(Question(f"observe:{question_id}", OBSERVE, CHANGES, shown))
        return {
            element: (change["target"], change["statement"])
            for element in ELEMENTS
            if (change := reply[element]) is not None
        }


def _phrase(words: str) -> str | None:
    """A description as it can end a sentence, or None where the element was not seen."""
    phrase = " ".join(words.split()).rstrip(".")
    return None if phrase.casefold() == UNSEEN else phrase
