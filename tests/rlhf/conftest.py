"""A small policy, its pairs and its trainer; torch is imported only by tests that ask for one of them."""

import sys

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Tiny models gain nothing from more threads, and the last bits of sums depend on their number."""
    torch = sys.modules.get("torch")  # files that need it have imported it by now
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def transformer():
    torch = pytest.importorskip("torch")
    from tests.rlhf.small_transformer import SmallTransformer

    torch.manual_seed(0)
    return SmallTransformer()


@pytest.fixture
def pairs():
    """Five pairs of noise-like clips, with one to three reference latents."""
    torch = pytest.importorskip("torch")
    from tests.rlhf.small_transformer import CHANNELS, TEXT

    generator = torch.Generator().manual_seed(1)
    return [
        {
            "clean": torch.randn(2, CHANNELS, 3, 2, 2, generator=generator),
            "references": torch.randn(CHANNELS, 1 + number % 3, 2, 2, generator=generator),
            "prompt_embeds": torch.randn(5, TEXT, generator=generator),
        }
        for number in range(5)
    ]


SMALL = {
    "beta": 20.0,
    "steps": 6,
    "batch_size": 3,
    "accumulation": 1,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
    "rank": 2,
    "alpha": 4,
    "targets": ("to_q", "to_k", "to_v", "to_out.0"),
    "save_every": 2,
    "time_shift": 1.0,
}


@pytest.fixture
def make_trainer(transformer, pairs, tmp_path):
    """Builds a trainer on the same first weights each time; the steps it reports are in `.lines`.

    `with_bank` gives it a bank of reference errors; `held_out` are pairs that it watches.
    """
    from rlhf.dpo.branch_parallel import Partner
    from rlhf.dpo.config import FlowDPOConfig
    from rlhf.dpo.held_out import HeldOut
    from rlhf.dpo.policy import FlowPolicy
    from rlhf.dpo.reference import identify, open_bank
    from rlhf.dpo.trainer import FlowDPOTrainer
    from rlhf.training.lora import add_adapter
    from rlhf.training.sharding import shard

    weights = {name: value.clone() for name, value in transformer.state_dict().items()}

    def make(
        folder="run", callbacks=None, data=pairs, with_bank=False, held_out=(), pair_weights=None, **overrides
    ):
        config = FlowDPOConfig(**{**SMALL, **overrides})
        model = type(transformer)()
        model.load_state_dict(weights)
        add_adapter(model, rank=config.rank, alpha=config.alpha, targets=config.targets, seed=config.seed)
        guard_mu = config.guard_mu if config.guard == "sdpo" else None
        policy = FlowPolicy(
            model, guard_mu=guard_mu, split_branches=config.split_branches or config.branch_parallel
        )
        bank, frozen = None, identify(policy)
        if config.sharded:
            shard(policy)
        if with_bank:
            keys = [str(number) for number in range(len(data))]
            bank = open_bank(tmp_path / "bank", config, frozen, keys, config.draws_per_pair)
        lines = []
        trainer = FlowDPOTrainer(
            policy,
            config,
            data,
            tmp_path / folder,
            on_step=lines.append,
            weights=pair_weights,
            bank=bank,
            held_out=HeldOut(held_out, config) if held_out else None,
            partner=Partner() if config.branch_parallel else None,
            callbacks=callbacks,
        )
        trainer.lines = lines
        return trainer

    return make


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """The shipped architecture with one layer and random weights, in the Diffusers layout."""
    torch = pytest.importorskip("torch")
    from generator.portraits.tiny import build_tiny_pipeline, build_transformer

    pipeline = build_tiny_pipeline()
    torch.manual_seed(0)
    pipeline.register_modules(transformer=build_transformer(layers=1))
    folder = tmp_path_factory.mktemp("model")
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def export_folder(tmp_path_factory):
    """Three exported pairs of 32x32 clips of five frames; one pair has two references, the others one."""
    import hashlib

    import numpy as np

    from generator.frozen_set import MediaFile
    from generator.media.encoder import write_clip
    from generator.records import ReferenceKind
    from rlhf.export.freezing import write_export
    from rlhf.export.row import ExportReference, ExportRow, ExportSample, TrackVotes
    from rlhf.records import Track, Verdict
    from rlhf.votes.consensus import resolve_track

    folder, rng = tmp_path_factory.mktemp("export"), np.random.default_rng(0)

    def clip(name):
        frames = np.kron(rng.integers(0, 256, (5, 4, 4, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
        write_clip(folder / name, frames, 8)
        return MediaFile(folder / name, hashlib.sha256((folder / name).read_bytes()).hexdigest())

    votes = TrackVotes.from_consensus(resolve_track([Verdict.FIRST], 1))
    rows = [
        ExportRow(
            pair_id=number,
            id_group=f"person {number}",
            references=tuple(
                ExportReference(clip(f"r{number}-{n}.mp4"), ReferenceKind.CLIP) for n in range(1 + number % 2)
            ),
            differential_prompt="The person now wears a red shirt.",
            elements=(),
            chosen=ExportSample(clip(f"c{number}.mp4"), 1),
            rejected=ExportSample(clip(f"j{number}.mp4"), 2),
            tracks=dict.fromkeys(Track, votes),
            model_version="sft",
            licence="CC0-1.0",
        )
        for number in range(3)
    ]
    write_export(folder / "set", rows, joint_states={"dominant": 3})
    return folder / "set"
