import random

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeseg.data.splits import (
    clusters,
    near_identical,
    read_individuals,
    split_by_count,
    split_by_fold,
)
from flukeseg.errors import InputError
from flukeseg.rendering import render

groupings = st.lists(st.integers(1, 4), min_size=5, max_size=30).map(
    lambda sizes: [[f"s{i}_{j}" for j in range(n)] for i, n in enumerate(sizes)]
)


@given(groupings, st.integers(0, 99), st.randoms())
def test_count_ignores_order_and_keeps_clusters_whole(groups, seed, shuffler):
    total = sum(map(len, groups))
    count = max(4, total // 4)
    chosen = split_by_count(groups, count, seed)
    mixed = list(groups)
    shuffler.shuffle(mixed)
    assert split_by_count(mixed, count, seed) == chosen
    assert len(chosen) <= count
    for group in groups:
        assert set(group) <= set(chosen) or not set(group) & set(chosen)


def test_count_is_exact_and_seeded():
    groups = [[f"stem{i}"] for i in range(450)]
    assert len(split_by_count(groups, 50, seed=1)) == 50
    assert split_by_count(groups, 50, seed=1) != split_by_count(groups, 50, seed=2)


def test_another_photo_hardly_moves_the_split():
    groups = [[f"stem{i}"] for i in range(100)]
    before = set(split_by_count(groups, 20, seed=0))
    after = set(split_by_count([*groups, ["new"]], 20, seed=0))
    assert len(before - after) <= 1


@given(groupings, st.integers(2, 5), st.integers(0, 99))
def test_folds_cover_all_once(groups, folds, seed):
    parts = [split_by_fold(groups, folds, fold, seed) for fold in range(folds)]
    everything = sorted(stem for group in groups for stem in group)
    assert sorted(stem for part in parts for stem in part) == everything
    assert max(map(len, parts)) - min(map(len, parts)) <= 4
    for group in groups:
        assert sum(bool(set(group) & set(part)) for part in parts) == 1


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (lambda g: split_by_count(g, 0, 0), "val_count"),
        (lambda g: split_by_count(g, 3, 0), "val_count"),
        (lambda g: split_by_fold(g, 1, 0, 0), "folds"),
        (lambda g: split_by_fold(g, 9, 0, 0), "folds"),
        (lambda g: split_by_fold(g, 3, 3, 0), "data.fold="),
    ],
)
def test_impossible_splits_name_the_key(call, key):
    with pytest.raises(InputError, match=key):
        call([["a"], ["b"], ["c"]])


def test_copies_are_near_identical_and_other_photos_are_not():
    from flukeseg.data.pairs import photo_hash

    photos = [render((5, i), (96, 192)).image for i in range(40)]
    rng = np.random.default_rng(0)
    copies = []
    for photo in photos[:20]:
        copy = cv2.resize(photo, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        copy = np.clip(copy.astype(float) * rng.uniform(0.9, 1.1) + 4, 0, 255).astype(np.uint8)
        jpeg = cv2.imencode(".jpg", copy, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        copies.append(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    found = near_identical(np.stack([photo_hash(photo) for photo in photos + copies]))
    assert set(found) == {(i, 40 + i) for i in range(20)}


def test_clusters_join_copies_and_individuals():
    rng = random.Random(0)
    hashes = np.array([[rng.random() < 0.5 for _ in range(256)] for _ in range(6)])
    hashes[3] = hashes[0]
    hashes[3, :5] ^= True
    found = clusters(list("abcdef"), hashes, {"a": "Old Timer", "b": "Old Timer", "e": "Salt"})
    assert found == [["a", "b", "d"], ["c"], ["e"], ["f"]]


def test_groups_file(tmp_path, caplog):
    path = tmp_path / "groups.csv"
    path.write_text("stem,individual\na,Salt\nb,Salt\nc,\n", encoding="utf-8")
    assert read_individuals(path, "abcd") == {"a": "Salt", "b": "Salt"}
    path.write_text("\ufeffstem,individual\na,Salt\n", encoding="utf-8")
    assert read_individuals(path, "abcd") == {"a": "Salt"}
    path.write_text("stem;individual\na;Salt\n", encoding="utf-8")
    assert read_individuals(path, "abcd") == {"a": "Salt"}
    path.write_text("stem, individual\na, Salt\nb ,Salt\n", encoding="utf-8")
    assert read_individuals(path, "abcd") == {"a": "Salt", "b": "Salt"}
    path.write_text("stem,individual\na,Salt\nb.jpg,Salt\n", encoding="utf-8")
    assert read_individuals(path, "abcd") == {"a": "Salt"}
    assert "names 1 stems that are no photos, such as b.jpg" in caplog.text
    path.write_text("photo;whale\n", encoding="utf-8")
    with pytest.raises(InputError, match="stem,individual"):
        read_individuals(path, "abcd")
    path.write_text("stem,individual\na.jpg,Salt\n", encoding="utf-8")
    with pytest.raises(InputError, match="without a suffix"):
        read_individuals(path, "abcd")
    path.write_bytes("stem,individual\na,Façade\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_individuals(path, "abcd")
    path.write_text("stem,individual\na,Salt\na,Pepper\n", encoding="utf-8")
    with pytest.raises(InputError, match="two individuals"):
        read_individuals(path, "abcd")
    path.write_text('stem,individual\na,"Salt\nb,Pepper\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"not valid CSV .*quotes"):
        read_individuals(path, "abcd")
