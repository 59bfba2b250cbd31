"""What is kept in the user's cache, and networks that were converted before."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from flukeseg import file_cache
from flukeseg.errors import InputError
from flukeseg.file_cache import digest_file, read_cached, write_cached
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_predictor


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of a cache of 20 MB that is empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv(file_cache.SIZE, "20")
    return tmp_path / "torch/hub/flukeseg/converted"


def test_what_is_kept_is_the_users_alone(cache):
    assert read_cached("a") is None
    write_cached("a", b"network")
    write_cached("a", b"another")
    assert read_cached("a") == b"another"
    assert [path.name for path in cache.iterdir()] == ["a"]
    if os.name == "posix":
        assert (cache.stat().st_mode & 0o777, (cache / "a").stat().st_mode & 0o777) == (
            0o700,
            0o600,
        )


@pytest.mark.bad_input
@pytest.mark.parametrize("damage", [b"", b"short", bytes(100)])
def test_a_damaged_file_is_removed(cache, damage):
    write_cached("a", b"network")
    (cache / "a").write_bytes(damage)
    assert read_cached("a") is None
    assert not (cache / "a").exists()


@pytest.mark.bad_input
@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_others_may_write_is_not_read(cache, what):
    write_cached("a", b"network")
    if what == "link":
        (cache / "a").rename(cache / "b")
        (cache / "a").symlink_to(cache / "b")
    else:
        (cache / "a" if what == "file" else cache).chmod(0o777)
    assert read_cached("a") is None


def test_those_unused_for_longest_go_first(cache, monkeypatch):
    monkeypatch.setenv(file_cache.SIZE, "1")
    for number, name in enumerate("abc"):
        write_cached(name, bytes(300_000))
        os.utime(cache / name, (number, number))
    assert read_cached("a") is not None
    os.utime(cache / "b", (1, 1))
    (cache / "killed.partial").touch()
    (cache / "old.partial").touch()
    os.utime(cache / "old.partial", (1, 1))
    write_cached("d", bytes(300_000))
    assert sorted(path.name for path in cache.iterdir()) == ["a", "c", "d", "killed.partial"]
    write_cached("large", bytes(1_000_000))
    assert read_cached("large") is None


def test_nothing_is_kept_where_it_is_switched_off_or_cannot_be(cache, tmp_path, monkeypatch):
    monkeypatch.setenv(file_cache.SIZE, "0")
    write_cached("a", b"network")
    assert not cache.exists()
    monkeypatch.setenv(file_cache.SIZE, "1")
    (tmp_path / "torch").write_text("a file where the folder would be")
    write_cached("a", b"network")
    assert read_cached("a") is None
    monkeypatch.setenv(file_cache.SIZE, "much")
    with pytest.raises(InputError, match="FLUKESEG_CACHE_MB=much must be a number of MB"):
        read_cached("a")


def test_a_digest_is_of_the_file_as_it_is(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = digest_file(path)
    path.write_bytes(b"three")
    assert digest_file(path) != first


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_a_network_that_was_converted_gives_the_same(cache, tiny_runs, runtime):
    image = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(2)).numpy()

    def predicted(run: Path) -> np.ndarray:
        predictor = load_predictor([find_checkpoint(run)], runtime=runtime, precision="32-true")
        assert predictor.size == (32, 64)
        return predictor(image).probability

    first, other = predicted(tiny_runs[0]), predicted(tiny_runs[1])
    assert np.abs(first - other).max() > 0.01
    assert len({*cache.iterdir()}) == 2
    np.testing.assert_array_equal(predicted(tiny_runs[0]), first)
    for path in cache.iterdir():  # as it was written, but no network
        write_cached(path.name, b"{}\nno network")
    np.testing.assert_array_equal(predicted(tiny_runs[0]), first)
    assert sorted(path.stat().st_size > 1000 for path in cache.iterdir()) == [False, True]
