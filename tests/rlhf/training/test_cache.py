"""Tensors in files: what is not finite is never written, never read, and made anew where it is found."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from generator.faults import NotFiniteError  # noqa: E402
from rlhf.training.cache import CacheError, fill, read_tensors  # noqa: E402

BAD = [float("nan"), float("inf"), float("-inf")]


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"clean": torch.tensor([0.0, value]), "references": torch.zeros(2)}


@pytest.mark.parametrize("value", BAD)
def test_it_refuses_what_was_computed_by_file_and_tensor(tmp_path, value) -> None:
    with pytest.raises(CacheError, match=r"a\.safetensors: clean came out not finite"):
        fill(tmp_path, [(tmp_path / "a.safetensors", lambda: tensors(value))])
    assert list(tmp_path.iterdir()) == []


def test_it_refuses_what_its_encoder_refuses(tmp_path) -> None:
    def encode():
        raise NotFiniteError("pair 7: the latents of reference 2 are not finite")

    with pytest.raises(
        CacheError, match=r"a\.safetensors: pair 7: the latents of reference 2 are not finite"
    ):
        fill(tmp_path, [(tmp_path / "a.safetensors", encode)])


@pytest.mark.parametrize("value", BAD)
def test_it_makes_a_file_that_is_not_finite_anew_and_leaves_the_others(tmp_path, value, caplog) -> None:
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    save_file(tensors(5.0), good)
    save_file(tensors(value), bad)
    made = []

    def encode():
        made.append(1)
        return tensors()

    fill(tmp_path, [(good, encode), (bad, encode)])
    assert len(made) == 1
    assert load_file(good)["clean"][1] == 5
    assert load_file(bad)["clean"][1] == 1
    assert "bad.safetensors: clean is not finite" in caplog.text


def test_it_makes_half_a_file_anew(tmp_path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(tensors(), path)
    path.write_bytes(path.read_bytes()[:-3])
    fill(tmp_path, [(path, tensors)])
    assert torch.equal(read_tensors(path)["clean"], tensors()["clean"])


@pytest.mark.parametrize("value", BAD)
def test_reading_names_file_tensor_and_remedy(tmp_path, value) -> None:
    path = tmp_path / "a.safetensors"
    save_file(tensors(value), path)
    assert set(read_tensors(path, ["references"])) == {"references"}
    for names in (None, ["clean"]):
        with pytest.raises(CacheError, match=r"a\.safetensors: clean is not finite; delete the file"):
            read_tensors(path, names)
    path.write_bytes(b"short")
    with pytest.raises(CacheError, match=r"a\.safetensors cannot be read .*; delete it"):
        read_tensors(path)
