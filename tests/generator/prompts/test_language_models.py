"""Local transformers models: real classes of tiny size, loaded from folders as any other would be."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path

import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: E402
from tokenizers.decoders import ByteLevel  # noqa: E402
from transformers import (  # noqa: E402
    BatchFeature,
    BertConfig,
    BertModel,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402

from generator.prompt_reading import UnreadPromptError  # noqa: E402
from generator.prompts.asking import Asker, ModelError, Patience, Question, Shown, UnansweredError  # noqa: E402
from generator.prompts.backends.chat import chat_message  # noqa: E402
from generator.prompts.backends.language_models import LocalModel, SentenceComparer  # noqa: E402
from generator.prompts.forms import DESCRIPTION  # noqa: E402
from generator.prompts.pictures import Medium  # noqa: E402
from generator.prompts.questions import DESCRIBE, AskedModel, look  # noqa: E402
from generator.prompts.transcript import Transcript  # noqa: E402
from generator.records import ELEMENTS  # noqa: E402
from tests.generator.media.media_files import MediaMaker  # noqa: E402

SIDE = 16
#: Of the right token's logit over every other. Logits of about 20 are rounded to bfloat16 by 2^-4 at most; so
#: much room is fifty times that, whatever the order of the sums before it.
ROOM = 3.0
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}<answer>{% endif %}"
)


def tokenizer_of(texts: list[str]) -> PreTrainedTokenizerFast:
    special = ["<pad>", "<eos>", "<image>", "<answer>", "<unk>"]
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        texts * 2, trainers.BpeTrainer(vocab_size=1200, special_tokens=special, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )


def tiny_llava(tokenizer: PreTrainedTokenizerFast) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE,
        patch_size=8, projection_dim=16,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=image_token)
    )
    shape = {"height": SIDE, "width": SIDE}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size=shape, crop_size=shape),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    return model, processor


def description(words: str) -> str:
    return json.dumps({element: f"{words} {element}" for element in ELEMENTS})


def question_of(medium: Medium) -> Question:
    return Question("q", DESCRIBE, DESCRIPTION, (Shown("the medium", medium, look(medium)),))


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> tuple[Path, dict[str, Medium]]:
    """A folder with a model that has learned what a dark and a bright picture show."""
    folder = tmp_path_factory.mktemp("taught")
    make = MediaMaker(folder)
    media = {
        name: Medium(name, make.photo(f"{name}.png", grey=grey))
        for name, grey in (("dark", 10), ("bright", 240))
    }
    prompt = json.dumps(chat_message(question_of(media["dark"]), lambda picture: {"type": "image"}))
    tokenizer = tokenizer_of([prompt, DESCRIBE, description("dark"), description("bright")])
    model, processor = tiny_llava(tokenizer)
    teach(model, processor, media)
    saved = folder / "model"
    model.to(torch.bfloat16).save_pretrained(saved)
    processor.save_pretrained(saved)
    return saved, media


def show(picture: bytes) -> dict[str, object]:
    return {"type": "image", "image": Image.open(io.BytesIO(picture))}


def teach(model: LlavaForConditionalGeneration, processor: LlavaProcessor, media: dict[str, Medium]) -> None:
    texts, pictures = [], []
    for name, medium in media.items():
        message = chat_message(question_of(medium), show)
        pictures += [part["image"] for part in message["content"] if part["type"] == "image"]
        asked = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
        texts.append(f"{asked}{description(name)}<eos>")
    batch = processor(text=texts, images=pictures, return_tensors="pt", padding=True)
    labels = batch["input_ids"].clone()
    begin = processor.tokenizer.convert_tokens_to_ids("<answer>")
    for row in labels:
        row[: int((row == begin).nonzero()[0]) + 1] = -100
    labels[batch["attention_mask"] == 0] = -100
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(1, 401):
        loss = model(**batch, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 10 == 0 and (margin := smallest_margin(model, batch, labels)) > ROOM:
            return
    raise AssertionError(f"the model did not learn its two answers: by {margin} at a token")


@torch.no_grad()
def smallest_margin(model: LlavaForConditionalGeneration, batch: BatchFeature, labels: torch.Tensor) -> float:
    """By how much the right token's logit leads, where it leads least, with weights and products in bfloat16.

    Along the right answer greedy decoding sees these very logits, so a lead at every token is the answer.
    """
    rounded = copy.deepcopy(model).to(torch.bfloat16).eval()
    logits = rounded(**batch.to(torch.bfloat16)).logits[:, :-1].float()
    asked = labels[:, 1:] != -100
    right = labels[:, 1:][asked].unsqueeze(1)
    logits = logits[asked]
    lead = logits.gather(1, right).squeeze(1)
    others = logits.scatter(1, right, -torch.inf).amax(dim=1)
    return float((lead - others).min())


def test_a_local_model_describes_what_its_pictures_show(taught, tmp_path) -> None:
    folder, media = taught
    model = LocalModel(folder, max_new_tokens=200)
    describer = AskedModel(Asker(model, Transcript(tmp_path / "t.jsonl"), Patience(attempts=1)))
    for name, medium in media.items():
        assert describer.describe(medium) == json.loads(description(name))
    usage = [entry["usage"] for entry in Transcript(tmp_path / "t.jsonl")]
    assert all(tokens["prompt"] > 100 and 7 < tokens["completion"] < 200 for tokens in usage)


def test_a_reply_without_an_end_is_no_reply(taught) -> None:
    folder, media = taught
    with pytest.raises(ModelError, match="longer than max_new_tokens, 5"):
        LocalModel(folder, max_new_tokens=5).reply(question_of(media["dark"]))


def test_a_model_that_cannot_do_what_it_is_asked_is_refused(taught, tmp_path) -> None:
    """It has only ever learned to describe."""
    folder, _ = taught
    transcript = Transcript(tmp_path / "t.jsonl")
    model = LocalModel(folder, max_new_tokens=200)
    comparer = AskedModel(Asker(model, transcript, Patience(attempts=2), lambda seconds: None))
    with pytest.raises(UnansweredError, match="no answer in 2 attempts"):
        comparer.compare("p", {"clothing": "a red shirt"}, {"clothing": "a blue shirt"})
    assert len(list(transcript)) == 2 and all(entry["faults"] for entry in transcript)


def test_a_model_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="is no folder; put the model there, nothing is downloaded"):
        LocalModel(tmp_path / "none")
    with pytest.raises(ValueError, match="is no folder"):
        SentenceComparer(tmp_path / "none")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = tokenizer_of(["a red shirt on a beach", "the sea at night"])
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_sentence_embeddings_compare_element_by_element(encoder) -> None:
    comparer = SentenceComparer(encoder)
    primary = {"clothing": "a red shirt", "background": "a red shirt on a beach", "action": "the sea"}
    target = {"clothing": "a red shirt", "background": "the sea at night", "action": "the sea"}
    alike = comparer.compare("p", primary, target)
    assert list(alike) == ["clothing", "background", "action"]
    assert alike["clothing"] == pytest.approx(1, abs=1e-5) and alike["action"] == pytest.approx(1, abs=1e-5)
    assert 0 <= alike["background"] < 0.999


def test_an_embedding_is_the_mean_over_tokens_and_padding_does_not_count(encoder) -> None:
    comparer = SentenceComparer(encoder)
    short, long = "the sea", "a red shirt on a beach by the sea at night"
    together = comparer.embed([short, long])
    assert torch.allclose(together[0], comparer.embed([short])[0], atol=1e-5)
    tokens = comparer._tokenizer(short, return_tensors="pt")
    with torch.inference_mode():
        mean = comparer._model(**tokens).last_hidden_state[0].mean(dim=0)
    assert torch.allclose(together[0], mean / mean.norm(), atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.ones(2), atol=1e-5)


def test_a_description_that_would_be_cut_is_not_compared(encoder) -> None:
    """The limit is the tokenizer's, or where it names none the model's positions."""
    comparer = SentenceComparer(encoder)
    assert comparer._limit == BertConfig().max_position_embeddings
    long = "the sea at night " * 600
    tokens = len(comparer._tokenizer(long).input_ids)
    with pytest.raises(UnansweredError, match=rf"the sea .* has {tokens} tokens and the model compares 512"):
        comparer.compare("p", {"background": "the sea"}, {"background": long})
    comparer._limit = tokens
    with pytest.raises(UnreadPromptError, match="in fewer words"):
        comparer.embed([f"{long} the sea"])
