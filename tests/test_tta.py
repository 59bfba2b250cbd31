import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flukeseg.errors import InputError
from flukeseg.model.module import SegmentationModule
from flukeseg.model.network import FlukeNetwork, ProbabilityNetwork
from flukeseg.model.predictor import Predictor
from flukeseg.model.tta import BLUR, FLIP, LARGE, PLAIN, TTA, average_views, views_of

VIEWS = sorted({view for views in TTA.values() for view in views}, key=lambda view: view.name)
by_name = pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
quick = settings(max_examples=40)


def some(height: int, width: int, channels: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(seed))


def average(networks, image, views):
    """Average networks that give logits."""
    return average_views([lambda x, n=n: torch.sigmoid(n(x)) for n in networks], image, views)


class Shade(nn.Module):
    """A network that looks at red alone, pixel by pixel, and leans one way."""

    def __init__(self, lean: float = 0.0) -> None:
        super().__init__()
        self.lean = lean

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 4 * image[:, :1] - 2 + self.lean


class Constant(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.full_like(image[:, :1], 0.7)


class LeftToRight(nn.Module):
    """A network that sees a fluke in the left column, whatever is there."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits = torch.full_like(image[:, :1], -5.0)
        logits[..., 0] = 6.0
        return logits


@by_name
@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 99))
@quick
def test_back_undoes_move(view, height, width, seed):
    image = some(height, width, 3, seed)
    back = view.back(view.move(image))
    assert back.dtype == torch.float32
    torch.testing.assert_close(back, image, atol=1e-5, rtol=0)


@by_name
@pytest.mark.parametrize("size", [(32, 64), (192, 384), (33, 7), (1, 1)])
def test_back_undoes_move_under_autocast(view, size):
    with torch.autocast("cpu", torch.bfloat16):
        back = view.back(view.move(some(*size)))
    torch.testing.assert_close(back, some(*size), atol=1e-5, rtol=0)


@by_name
def test_only_the_blur_adjusts_and_nothing_is_moved(view):
    image = torch.zeros(1, 1, 20, 30)
    image[..., 5:15, 3:20] = 1
    adjusted = view.adjust(image)
    assert torch.equal(adjusted, image) == (view is not BLUR)
    for dim in (-1, -2):
        at = torch.arange(image.shape[dim], dtype=torch.float32)
        other = -3 - dim
        torch.testing.assert_close(adjusted.sum(other) @ at, image.sum(other) @ at)


def test_views_look_as_they_are_called():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert FLIP.move(image)[0, 0, 0].tolist() == [3, 2, 1, 0]
    assert LARGE.move(some(32, 64)).shape[-2:] == (40, 80)
    # 3 × 3 pixels with the corner's own neighbours repeated
    assert BLUR.adjust(image)[0, 0, 0, 0] == pytest.approx((4 * 0 + 2 * 1 + 2 * 4 + 5) / 9)
    assert [view.name for view in views_of("reference")] == ["plain", "flip", "blur"]
    assert len(views_of("flip_scale")) == 4


@pytest.mark.parametrize("tta", ["flp", "", None, 3])
def test_other_settings_are_refused(tta):
    with pytest.raises(InputError, match=f"tta={tta} must be one of none, reference"):
        views_of(tta)


@pytest.mark.parametrize("tta", TTA)
def test_an_average_is_the_mean_of_probabilities(tta):
    """Of two networks in every view, by hand."""
    networks = [FlukeNetwork("test_resnet").eval() for _ in range(2)]
    image = some(32, 64, 3)
    with torch.inference_mode():
        averaged = average(networks, image, views_of(tta))
        looks = []
        for view in views_of(tta):
            for network in networks:
                logits = network(view.move(view.adjust(image)))
                looks.append(view.back(torch.sigmoid(logits)).clamp(0, 1))
    looks = torch.stack(looks)
    assert averaged.probability.shape == averaged.spread.shape == (2, 1, 32, 64)
    assert averaged.disagreement.shape == (2,)
    torch.testing.assert_close(averaged.probability, looks.mean(0))
    torch.testing.assert_close(averaged.spread, looks.std(0, correction=0))
    assert not torch.allclose(looks[0], looks[-1], atol=1e-3)


@pytest.mark.parametrize("tta", ["flip", "flip_scale"])
def test_views_of_a_network_that_looks_at_pixels_agree(tta):
    """A flipped look that were not flipped back would be far off."""
    smooth = torch.linspace(0, 1, 60).expand(2, 3, 40, 60)
    plain = average([Shade()], smooth, views_of("none")).probability
    averaged = average([Shade()], smooth, views_of(tta))
    torch.testing.assert_close(averaged.probability, plain, atol=2e-3, rtol=0)


def test_probabilities_stay_in_their_range_and_in_float32():
    hard = (some(32, 64, 3) > 0.5).float()
    with torch.autocast("cpu", torch.bfloat16):
        averaged = average([Shade(), Shade(20.0)], hard, views_of("flip_scale"))
        large = average([lambda image: 50 * (image[:, :1] - 0.5)], hard, [LARGE])
    assert 0 <= large.probability.min() <= large.probability.max() <= 1
    for values, most in zip(averaged, (1, 0.5, 1), strict=True):
        assert values.dtype == torch.float32
        assert 0 <= values.min() <= values.max() <= most


@pytest.mark.parametrize("tta", ["reference", "flip", "flip_scale"])
def test_a_network_that_is_always_the_same_never_disagrees(tta):
    averaged = average([Constant()], some(32, 64, 3), views_of(tta))
    assert averaged.spread.max() < 1e-6
    assert averaged.disagreement.tolist() == [0, 0]
    torch.testing.assert_close(averaged.probability, torch.full((2, 1, 32, 64), 0.6681878))


def test_a_single_look_has_nothing_to_compare():
    single = average([Shade()], some(4, 6, 3), [PLAIN])
    assert single.spread.isnan().all()
    assert single.disagreement.isnan().all()
    assert single.disagreement.shape == (2,)
    assert not single.probability.isnan().any()
    twice = average([Shade(), Shade()], some(4, 6, 3), [PLAIN])
    assert not twice.spread.any()
    assert not twice.disagreement.any()


def test_disagreement_by_hand():
    """One look sees the left column, the other the right; their mean just both.

    sigmoid(6) and sigmoid(-5) have a mean just above 0.5, so each look's Dice with the mean is
    2 · 1 / (1 + 2).
    """
    averaged = average([LeftToRight()], some(4, 6, 3), [PLAIN, FLIP])
    assert (averaged.probability > 0.5)[0, 0, 0].tolist() == [True, *[False] * 4, True]
    assert averaged.disagreement.tolist() == pytest.approx([1 / 3] * 2)
    high, low = torch.sigmoid(torch.tensor([6.0, -5.0])).tolist()
    assert float(averaged.spread[0, 0, 0, 0]) == pytest.approx((high - low) / 2)


def test_looks_that_are_all_empty_agree():
    averaged = average([Shade(-9.0)], some(4, 6, 3), [PLAIN, BLUR])
    assert averaged.disagreement.tolist() == [0, 0]


def test_a_look_without_a_fluke_disagrees_fully_with_one_that_has_one():
    """The mean has none either: one look's Dice with it is 0, the other's 1."""
    averaged = average([Shade(2.5), Shade(-12.0)], some(4, 6, 3), [PLAIN])
    assert not (averaged.probability > 0.5).any()
    assert averaged.disagreement.tolist() == [0.5, 0.5]


def test_a_predictor_averages_networks_and_views():
    modules = [SegmentationModule("test_resnet", size=(32, 64)).eval() for _ in range(2)]
    networks = [ProbabilityNetwork(module.network) for module in modules]
    image = some(32, 64, 3)
    with torch.inference_mode():
        alone = [torch.sigmoid(module.network(image)) for module in modules]
        torch.testing.assert_close(Predictor(networks[:1], (32, 64))(image).probability, alone[0])
        together = Predictor(networks, (32, 64))(image)
        torch.testing.assert_close(together.probability, (alone[0] + alone[1]) / 2)
        flipped = Predictor(networks, (32, 64), views_of("flip"))(image)
        expected = average([module.network for module in modules], image, views_of("flip"))
    assert not torch.allclose(flipped.probability, together.probability, atol=1e-4)
    torch.testing.assert_close(flipped.spread, expected.spread)


@pytest.mark.parametrize("tta", ["flip", "reference"])
def test_a_module_predicts_as_a_predictor_does(tta):
    module = SegmentationModule("test_resnet", size=(32, 64), tta=tta).eval()
    predictor = Predictor([ProbabilityNetwork(module.network)], (32, 64), views_of(tta))
    batch = {"image": some(32, 64, 3)}
    with torch.inference_mode():
        predicted = module.predict_step(batch)
        expected = predictor.predict_step(batch)
    assert torch.equal(predicted.probability, expected.probability)
    assert torch.equal(predicted.disagreement, expected.disagreement)


def test_bytes_are_predicted_as_the_floats_they_stand_for():
    predictor = Predictor([ProbabilityNetwork(FlukeNetwork("test_resnet"))], (32, 64))
    image = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(predictor(image).probability, predictor(image.float() / 255).probability)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error(value):
    """A mask of NaN would be an empty one."""
    network = FlukeNetwork("test_resnet").eval()
    torch.nn.init.constant_(network.unet.segmentation_head[0].bias, value)
    with torch.inference_mode():
        if value == float("inf"):  # sigmoid makes a number of it: such weights are found at loading
            assert average([network], some(32, 64, 3), [PLAIN]).probability.min() == 1
        else:
            with pytest.raises(InputError, match="probabilities that are not finite"):
                average([network], some(32, 64, 3), [PLAIN])
