import random

import albumentations as A
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from flukeseg.data.augmentation import MAX_STRENGTH, Augmentation, training_transform
from flukeseg.data.cache import CachedPhotos
from flukeseg.data.dataset import FlukeDataset
from flukeseg.data.rendered import RenderedDataModule
from flukeseg.data.sampling import EpochSampler
from flukeseg.errors import InputError
from flukeseg.rendering import render


def seeded(transform, seed):
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return transform


def probabilities(strength):
    return [(type(t).__name__, t.p) for t in training_transform(strength)]


def test_strength_zero_is_none():
    picture = render(7, (48, 96))
    photo, mask = Augmentation(0)(picture.image, picture.mask, (1,))
    assert photo is picture.image
    assert mask is picture.mask


def test_strength_one_is_the_recipe():
    assert sorted(probabilities(1)) == [
        ("Affine", pytest.approx(0.3)),
        ("Affine", pytest.approx(0.5)),
        ("Blur", pytest.approx(0.5)),
        ("HorizontalFlip", pytest.approx(0.5)),
        ("RandomBrightnessContrast", pytest.approx(0.2)),
        ("RandomBrightnessContrast", pytest.approx(0.2)),
    ]


def test_more_strength_is_more_of_each():
    previous: dict[int, float] = {}
    for strength in (0.25, 0.5, 1, 1.01, 1.5, 2, 3, 4):
        current = dict(enumerate(p for _, p in probabilities(strength)))
        assert len(current) >= len(previous)
        assert sum(current.values()) > sum(previous.values())
        assert all(0 < p < 1 for p in current.values())
        previous = current
    assert len(previous) == 13


def test_just_above_one_is_hardly_more_than_one():
    weak = [p for name, p in probabilities(1.001)]
    assert sum(weak) - sum(p for _, p in probabilities(1)) < 0.01


@pytest.mark.parametrize("strength", [-0.1, MAX_STRENGTH + 0.1])
def test_strength_out_of_range_names_the_key(strength):
    with pytest.raises(InputError, match=r"augmentation\.strength"):
        training_transform(strength)


@settings(max_examples=30)
@given(st.floats(0.1, MAX_STRENGTH), st.integers(0, 10**6))
def test_photo_and_mask_keep_their_form(strength, seed):
    picture = render(7, (48, 96))
    augment = Augmentation(strength)
    photo, mask = augment(picture.image, picture.mask, (seed,))
    assert photo.shape == (48, 96, 3)
    assert photo.dtype == mask.dtype == np.uint8
    assert mask.shape == (48, 96)
    assert set(np.unique(mask)) <= {0, 1}
    again = augment(picture.image, picture.mask, (seed,))
    assert np.array_equal(again[0], photo)
    assert np.array_equal(again[1], mask)


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_mask_moves_with_the_photo(seed):
    """A photo that is its own mask, warped, still is: only where its grey is near a half, less."""
    mask = render(3, (96, 192)).mask * 255
    transform = seeded(training_transform(3), seed)
    # the geometry alone: what changes light would change the photo and not the mask
    transform.transforms = [
        t for t in transform if type(t).__name__ in
        ("HorizontalFlip", "Affine", "Perspective", "GridDistortion")
    ]  # fmt: skip
    out = transform(image=np.repeat(mask[..., None], 3, axis=2), mask=mask)
    differ = (out["image"][..., 0] > 127) != (out["mask"] > 127)
    assert differ.mean() < 0.01


def batches(num_workers, epochs=(0, 1), count=8):
    """One photo, many times: whatever differs is the augmentation's doing."""
    picture = render(7, (48, 96))
    source = CachedPhotos(
        [f"copy{i}" for i in range(count)],
        np.stack([picture.image] * count),
        np.stack([picture.mask] * count),
    )
    dataset = FlukeDataset(source, Augmentation(2), seed=5)
    sampler = EpochSampler(count, seed=5)
    loader = DataLoader(
        dataset,
        batch_size=2,
        sampler=sampler,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )
    result = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        for batch in loader:
            result += zip(batch["name"], batch["image"], strict=True)
    return result


@pytest.mark.parametrize("num_workers", [0, 2])
def test_no_two_draws_are_alike(num_workers):
    """Neither two workers, nor two epochs, nor two places of one batch repeat an augmentation."""
    images = [image.numpy().tobytes() for _, image in batches(num_workers)]
    assert len(images) == 16
    assert len(set(images)) == 16


def test_workers_change_nothing():
    for (name, image), (name2, image2) in zip(batches(0), batches(2), strict=True):
        assert name == name2
        assert torch.equal(image, image2)


def test_an_epoch_can_be_drawn_again_alone():
    whole, second = batches(0), batches(0, epochs=(1,))
    assert [name for name, _ in whole[8:]] == [name for name, _ in second]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(whole[8:], second, strict=True))


def test_rendered_training_photos_are_new_in_every_epoch():
    data = RenderedDataModule(train_count=3, val_count=3, test_count=3, size=(32, 64))
    data.setup()
    pictures = {data.train_set[epoch, i]["image"].numpy().tobytes() for epoch in (0, 1) for i in
                range(3)}  # fmt: skip
    held_out = {d[i]["image"].numpy().tobytes() for d in (data.val_set, data.test_set)
                for i in range(3)}  # fmt: skip
    assert len(pictures) == 6
    assert len(held_out) == 6
    assert not pictures & held_out


def extended(**options):
    return Augmentation(0, extra=[A.Rotate(limit=(90, 90), p=1), A.InvertImg(p=0.5)], **options)


def test_further_transforms_move_photo_and_mask_and_repeat_themselves():
    photo, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    photo[0], mask[0] = 255, 1
    turned, moved = extended()(photo, mask, (1, 2))
    assert moved[:, 0].all() or moved[:, -1].all()
    again, _ = extended()(photo, mask, (1, 2))
    assert np.array_equal(turned, again)
    levels = {extended()(photo, mask, (1, i))[0].mean() > 127 for i in range(20)}
    assert levels == {True, False}


def test_further_transforms_come_after_or_before():
    own = training_transform(1)
    for first in (False, True):
        both = Augmentation(1, [A.InvertImg(p=1)], extra_first=first).transform.transforms
        inverting = [isinstance(transform, A.InvertImg) for transform in both]
        assert inverting == ([True, False] if first else [False, True])
        assert len(both[int(first)].transforms) == len(own.transforms)


@pytest.mark.filterwarnings("ignore:Argument")
def test_further_transform_with_a_typo_is_an_error():
    with pytest.raises(InputError, match=r"augmentation\.extra.*clip_limits"):
        Augmentation(1, [A.CLAHE(clip_limits=3)])
    with pytest.raises(InputError, match=r"augmentation\.extra"):
        Augmentation(1, ["CLAHE"])


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize("transform", [A.RandomRotate90(p=1), A.RandomCrop(16, 32)], ids=str)
def test_a_transform_that_changes_the_size_is_refused(transform, processes):
    data = RenderedDataModule(
        train_count=4, val_count=2, test_count=1, size=(32, 64), batch_size=4, seed=2,
        num_workers=processes, augmentation=Augmentation(0, [transform]),
    )  # fmt: skip
    data.setup()
    with pytest.raises(InputError, match=r"^augmentation\.extra returns photos of .* 64 × 32"):
        list(data.train_dataloader())
