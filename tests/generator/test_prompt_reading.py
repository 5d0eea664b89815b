"""A prompt is read whole or refused, and the web counts as the model does, which has torch and it has not."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from diffusers.pipelines.wan.pipeline_wan import prompt_clean  # noqa: E402
from PIL import Image  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from transformers import AutoTokenizer, T5Tokenizer  # noqa: E402

from generator.media.photo import write_photo  # noqa: E402
from generator.portraits.tiny import MAX_TOKENS as TINY_TOKENS  # noqa: E402
from generator.portraits.tiny import build_tiny_pipeline  # noqa: E402
from generator.portraits.world import CHECKPOINT, ELEMENT_STATES, phrase_change  # noqa: E402
from generator.prompt_reading import MAX_TOKENS, PromptReader, UnreadPromptError, clean_prompt, look_at  # noqa: E402
from generator.prompts.limit import find_limit  # noqa: E402
from generator.records import ReferenceKind, SampleRequest, SamplerSettings  # noqa: E402
from generator.sample import make_videos  # noqa: E402

WORLD = [
    phrase_change(element, state, number)
    for element, states in ELEMENT_STATES.items()
    for state in states
    for number in range(4)
]
ODD = [
    "naïve",
    "café",
    "Ω",
    "帽子",
    "😀",
    "&amp;",
    "“so”",
    "\u00a0",
    "…",
    "—",
    "</s>",
    "<unk>",
    "<pad>",
    "x" * 40,
]


def sentences(number: int) -> list[str]:
    """Of the world and beside it: words, letters, marks, spaces of many kinds, of all lengths."""
    rng = random.Random(number)
    texts = []
    for _ in range(number):
        words = [rng.choice([*rng.choice(WORLD).split(), *ODD]) for _ in range(rng.randint(0, 90))]
        texts.append("".join(word + rng.choice([" ", " ", " ", "  ", "\n", "\t"]) for word in words))
    return texts


def reader_of(folder: Path) -> PromptReader:
    limit = find_limit(str(folder))
    assert limit is not None
    return PromptReader.of_tokenizer(Tokenizer.from_str(limit.tokenizer), limit.max_tokens)


@pytest.fixture(scope="module")
def tiny():
    return build_tiny_pipeline()


@pytest.fixture(scope="module")
def like_wan(tmp_path_factory) -> Path:
    """A folder whose tokenizer transformers builds anew, as it does that of Wan, and that names no limit."""
    folder = tmp_path_factory.mktemp("wan")
    pieces = {piece for text in WORLD for word in text.split() for piece in (f"▁{word}", *word)}
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocab += [(piece, -3.0 - len(piece) / 10) for piece in sorted(pieces - {"▁"})]
    T5Tokenizer(vocab=vocab, extra_ids=0).save_pretrained(folder / "tokenizer")
    stored = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    # As released: with a fallback to bytes and another way to split, neither of which transformers keeps.
    stored["model"]["byte_fallback"] = True
    stored["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
    (folder / "tokenizer" / "tokenizer.json").write_text(json.dumps(stored))
    (folder / "model_index.json").write_text("{}")
    return folder


def test_text_is_cleaned_as_the_pipeline_cleans_it() -> None:
    texts = [
        *sentences(200),
        "",
        " ",
        "a\x1cb\x85c\u2028d",
        "&amp;lt;b&gt;",
        "schÃ¶n",
        "\ufb01ne\u200b",
        "\x00",
    ]
    assert [clean_prompt(text) for text in texts] == [prompt_clean(text) for text in texts]


@pytest.mark.parametrize("kind", ["shipped", "like_wan"])
def test_it_counts_what_transformers_counts(kind, request) -> None:
    folder = CHECKPOINT if kind == "shipped" else request.getfixturevalue("like_wan")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    assert isinstance(tokenizer, T5Tokenizer) == (kind == "like_wan")
    plain = reader_of(folder)
    theirs = PromptReader.of_transformers(tokenizer, plain.limit)
    for text in sentences(300):
        assert plain.read(text) == theirs.read(text)
        assert plain.read(text).tokens == len(tokenizer(prompt_clean(text)).input_ids)


def test_a_models_folder_says_its_limit_and_nothing_is_guessed(like_wan, tmp_path) -> None:
    shipped, wan = find_limit(str(CHECKPOINT)), find_limit(str(like_wan))
    assert shipped is not None and wan is not None
    assert (shipped.max_tokens, shipped.special_tokens) == (TINY_TOKENS, 1)
    assert (wan.max_tokens, wan.special_tokens) == (MAX_TOKENS, 1)
    assert len({shipped.sha256, wan.sha256}) == 2 and find_limit(str(like_wan)) == wan
    assert find_limit(str(tmp_path)) is None, "a folder without a tokenizer"
    assert find_limit("nobody/has-downloaded-this") is None
    other = tmp_path / "other"
    shutil.copytree(like_wan, other)
    config = other / "tokenizer" / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tokenizer_class": "Another"}))
    assert find_limit(str(other)) is None, "a class whose way of reading is not known here"
    damaged = tmp_path / "damaged"
    shutil.copytree(CHECKPOINT / "tokenizer", damaged / "tokenizer")
    (damaged / "model_index.json").write_text("{}")
    (damaged / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no tokenizer"):
        find_limit(str(damaged))


def test_what_would_be_cut_is_what_the_tokenizer_drops() -> None:
    """What is said to be cut, and no more than the word before it, is what truncation leaves out."""
    plain, tokenizer = reader_of(CHECKPOINT), AutoTokenizer.from_pretrained(CHECKPOINT / "tokenizer")
    cut = 0
    for text in (" ".join(random.Random(n).choices(WORLD, k=1 + n % 14)) for n in range(100)):
        reading = plain.read(text)
        kept = tokenizer(text, truncation=True, max_length=TINY_TOKENS).input_ids
        assert bool(reading.cut) == (reading.tokens > TINY_TOKENS) == (len(kept) < reading.tokens)
        if not reading.cut:
            continue
        cut += 1
        assert text.endswith(reading.cut)
        read = tokenizer.decode(kept, skip_special_tokens=True).lower()
        before = text[: -len(reading.cut)].strip().lower()
        # The first word that is named may have been read in part; everything before it was read.
        assert read.startswith(before)
        assert len(read) < len(before) + 1 + len(reading.cut.split()[0])
    assert cut > 20


def test_words_that_vanish_are_named_once_and_in_order() -> None:
    plain = reader_of(CHECKPOINT)
    reading = plain.read("A café on a beach, a 帽子, </s> a caf\u0065\u0301 and a zebra.")
    assert reading.unknown == ("café", "帽子", "</s>")
    assert reading.problem == 'the model does not know "café, 帽子, </s>"; say it in other words'
    for text in WORLD:
        plain.check(text)
    with pytest.raises(UnreadPromptError, match='does not know "😀"'):
        plain.check("😀")


def test_a_prompt_is_refused_where_no_model_reads_it_and_said_where_one_does_not() -> None:
    tokenizer = Tokenizer.from_file(str(CHECKPOINT / "tokenizer" / "tokenizer.json"))
    short, long = (PromptReader.of_tokenizer(tokenizer, limit) for limit in (8, 20))
    text = "The background changes to a beach. " * 2
    tokens = short.read(text).tokens
    assert 8 < tokens <= 20
    assert look_at({"short": short, "long": long}, text) == ("", f"short: {short.read(text).problem}")
    refusal, warning = look_at({"short": short, "long": long}, text * 3)
    assert refusal == long.read(text * 3).too_long and not warning, "of the model that reads most"
    assert look_at({"long": long}, text) == ("", "") == look_at({}, text * 9)


SMALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 1, "output_type": "latent"}


def test_the_pipeline_refuses_what_it_would_not_read_before_the_model_runs(tiny, monkeypatch) -> None:
    long = " ".join(WORLD[:20])
    tokens = len(tiny.tokenizer(long).input_ids)
    assert tokens > 64

    def run(*_: object, **__: object) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(type(tiny.transformer), "forward", run)
    monkeypatch.setattr(type(tiny.text_encoder), "forward", run)
    shown = [Image.new("RGB", (32, 32))]
    with pytest.raises(
        ValueError, match=f"has {tokens} tokens and the model reads 64; .* would be cut; shorten"
    ):
        tiny(references=shown, prompt=["a beach", long], **SMALL)
    with pytest.raises(ValueError, match='does not know "帽子"'):
        tiny(references=shown, prompt="a 帽子", **SMALL)
    with pytest.raises(ValueError, match="the model reads 8"):
        tiny.encode_prompt(WORLD[0] * 3, max_sequence_length=8)


def test_a_sample_fails_by_name_and_its_neighbours_are_made(tiny, tmp_path) -> None:
    write_photo(tmp_path / "a.png", torch.zeros(32, 32, 3, dtype=torch.uint8).numpy())
    shown = ((str(tmp_path / "a.png"), ReferenceKind.PHOTO),)
    prompts = {"1": "a beach", "2": " ".join(WORLD[:20]), "3": "a 帽子", "4": "a beach at night"}
    settings = SamplerSettings(height=32, width=32, num_frames=5, num_inference_steps=1)
    made, failed = make_videos(
        lambda: tiny,
        [SampleRequest(name, 1, prompt, shown) for name, prompt in prompts.items()],
        settings,
        tmp_path / "samples",
    )
    assert [sample["sample_id"] for sample in made] == ["1", "4"]
    assert [sample["sample_id"] for sample in failed] == ["2", "3"]
    assert "the model reads 64" in failed[0]["error"] and "does not know" in failed[1]["error"]
    assert sorted(path.stem for path in (tmp_path / "samples").iterdir()) == ["1", "4"]
