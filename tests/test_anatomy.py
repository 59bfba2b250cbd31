"""Tips, notch and trailing edge of rendered flukes, whose truth is known."""

import csv
import io

import cv2
import numpy as np
import pytest
import torch

from flukeseg.anatomy import anatomy_outputs, contour, outline_network
from flukeseg.anatomy.anatomy import CUT, EMPTY, HIDDEN, SMALL, UNCLEAR, Anatomy, find_anatomy
from flukeseg.anatomy.contour import signed_area, subpixel_outline
from flukeseg.anatomy.measures import measure
from flukeseg.evaluation.anatomy import keypoints
from flukeseg.rendering import render
from flukeseg.training.small_networks import outlines
from flukeseg.training.small_networks.outline_samples import draw_sample
from tests.conftest import write_rgb

SIZE = (256, 512)
PLAIN = ("waves", "backdrop", "company", "skin", "light", "camera", "empty", "mount", "splash")


@pytest.fixture(scope="module")
def fluke() -> tuple[np.ndarray, np.ndarray]:
    """A mask clear of the frame, and its tip, notch and tip."""
    picture = render((8, 47), SIZE, PLAIN)
    return picture.mask, picture.keypoints[0].astype(float)


def _places(anatomy: Anatomy) -> np.ndarray:
    return np.array([point.xy for point in anatomy.keypoints.values()])


def test_outline_lies_between_pixels():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 5:25] = 1
    outline = subpixel_outline(mask)
    np.testing.assert_allclose([outline.min(0), outline.max(0)], [[5, 10], [25, 20]])
    assert signed_area(outline) == pytest.approx(200, abs=1)  # corners are cut


def test_outline_follows_the_probability():
    y, x = np.mgrid[:80, :100] + 0.5
    distance = 23.37 - np.hypot(x - 50.2, y - 41.6)
    probability = (1 / (1 + np.exp(-distance))).astype(np.float32)
    outline = subpixel_outline((probability > 0.5).astype(np.uint8), probability)
    np.testing.assert_allclose(np.hypot(*(outline - [50.2, 41.6]).T), 23.37, atol=0.05)
    # what cleaning removed is outside, whatever its probability
    island = probability.copy()
    island[:5, :5] = 0.9
    same = subpixel_outline((probability > 0.5).astype(np.uint8), island)
    np.testing.assert_array_equal(same, outline)


@pytest.mark.parametrize("seed", range(5))
def test_outline_of_a_large_fluke_is_found_in_strips(seed, monkeypatch):
    noise = np.random.default_rng(seed).random((70 + 9 * seed, 90)).astype(np.float32)
    probability = cv2.GaussianBlur(noise, (0, 0), 1.5 + seed)
    mask = (probability > 0.5).astype(np.uint8)
    known = [(mask, None), (mask, probability)]
    whole = [subpixel_outline(*one) for one in known]
    monkeypatch.setattr(contour, "STRIP", 1)
    for one, expected in zip(known, whole, strict=True):
        np.testing.assert_array_equal(subpixel_outline(*one), expected)


def test_outline_of_all_of_the_photo_is_its_frame():
    outline = subpixel_outline(np.ones((20, 30), np.uint8))
    np.testing.assert_allclose([outline.min(0), outline.max(0)], [[0, 0], [30, 20]])


@pytest.mark.parametrize("angle", [0, -30, 40, 80])
def test_finds_a_fluke_at_any_tilt(fluke, angle):
    mask, true = fluke
    matrix = cv2.getRotationMatrix2D((255.5, 127.5), angle, 0.9)
    matrix[:, 2] += [44.5, 172.5]
    mask = cv2.warpAffine(mask * 255, matrix, (600, 600)) // 128
    true = (true - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    found = find_anatomy(mask)
    along = true[2] - true[0]
    span = np.hypot(*along)
    assert np.hypot(*(_places(found) - true).T).max() < 0.02 * span
    measured = measure(found)
    assert measured.span == pytest.approx(span, rel=0.02)
    assert measured.angle == pytest.approx(np.degrees(np.arctan2(along[1], along[0])), abs=1.5)
    depth = np.cross([*along, 0], [*(true[1] - true[0]), 0])[2] / span
    assert measured.notch_depth == pytest.approx(depth, rel=0.1)
    assert measured.view == ("tilted" if abs(measured.angle) > 45 else "trailing edge up")
    for height in (measured.left_lobe_height, measured.right_lobe_height):
        assert 0.1 * span < height < 0.5 * span


def test_errors_on_rendered_flukes():
    figures = keypoints.rendered(40, 5, SIZE, keypoints.on_true_mask)
    errors, visible, found = (
        np.array([getattr(figure, name) for figure in figures])
        for name in ("errors", "visible", "found")
    )
    assert np.nanmean(errors) < 1.0
    assert (found & visible).sum() > 0.9 * visible.sum()
    assert np.nanmean([figure.distance for figure in figures]) < 0.2
    assert np.nanmean([figure.missing for figure in figures]) < 6
    assert np.nanmean([figure.extra for figure in figures]) < 6


def test_mirrored_photo_mirrors_the_anatomy(fluke):
    mask, _ = fluke
    one, other = find_anatomy(mask), find_anatomy(mask[:, ::-1])
    mirrored = _places(other)[::-1] * [-1, 1] + [SIZE[1], 0]
    assert np.abs(_places(one) - mirrored).max() < 3


def test_upside_down_the_trailing_edge_is_the_lower_side(fluke):
    mask, true = fluke
    found = find_anatomy(mask[::-1, ::-1])
    assert found.trailing_edge_up is False
    assert np.hypot(*(_places(found)[::-1] - (SIZE[::-1] - true)).T).max() < 8
    assert measure(found).view == "trailing edge down"
    assert measure(found).notch_depth > 0
    assert found.edge.points[0, 0] < found.edge.points[-1, 0]


def test_a_tip_beyond_the_frame_is_not_given(fluke):
    mask, true = fluke
    gone = int(true[0, 0]) + 40
    found = find_anatomy(np.ascontiguousarray(mask[:, gone:]))
    assert not found.left_tip.known
    assert np.isnan(found.left_tip.xy).all()
    assert found.left_tip.reason == CUT
    assert found.right_tip.known
    assert measure(found).view == "one lobe"
    assert np.isnan(measure(found).span)
    assert np.hypot(*(found.right_tip.xy - true[2] + [gone, 0])) < 8


def test_nothing_to_find():
    empty = find_anatomy(np.zeros(SIZE, np.uint8))
    small = np.zeros(SIZE, np.uint8)
    small[10:20, 10:40] = 1
    for found, reason in ((empty, EMPTY), (find_anatomy(small), SMALL)):
        assert {point.reason for point in found.keypoints.values()} == {reason}
        assert len(found.edge.points) == 0
        assert found.trailing_edge_up is None
        assert measure(found).view == "unclear"


def test_shapes_that_are_no_fluke_give_no_points():
    disk, full = np.zeros(SIZE, np.uint8), np.ones(SIZE, np.uint8)
    cv2.circle(disk, (256, 128), 100, 1, -1)
    for mask in (disk, full):
        for point in find_anatomy(mask).keypoints.values():
            assert not point.known
            assert point.reason in (HIDDEN, UNCLEAR, CUT)


def test_edge_runs_from_tip_over_notch_to_tip(fluke):
    found = find_anatomy(fluke[0])
    points, occluded = found.edge
    np.testing.assert_allclose(points[[0, -1]], [found.left_tip.xy, found.right_tip.xy], atol=1e-6)
    assert np.hypot(*(points - found.notch.xy).T).min() < 0.5
    assert np.hypot(*np.diff(points, axis=0).T).max() <= 1
    assert occluded.mean() < 0.03
    rows = list(anatomy_outputs.edge_rows([found, found]))
    assert len(rows) == 2 * len(points)
    text = io.StringIO()
    csv.writer(text).writerows([anatomy_outputs.EDGE_COLUMNS, *rows])
    back = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert {row["fluke"] for row in back} == {"1", "2"}
    np.testing.assert_allclose(
        [float(row["x"]) for row in back[: len(points)]], points[:, 0], atol=0.006
    )


def test_outputs_of_a_fluke(fluke):
    found = find_anatomy(fluke[0])
    photo = np.zeros((*SIZE, 3), np.uint8)
    anatomy_outputs.draw_anatomy(photo, found, 2)
    x, y = found.edge.points[len(found.edge.points) // 4].astype(int)
    assert photo[y - 1 : y + 2, x - 1 : x + 2].any()
    columns = anatomy_outputs.table_columns(found)
    assert columns["left_tip_x"] == round(found.left_tip.x, 2)
    assert columns["notch_reason"] == ""
    assert columns["view"] == "trailing edge up"
    transform = anatomy_outputs.align_fluke(found)
    tips = transform.to_aligned(np.array([found.left_tip.xy, found.right_tip.xy]))
    assert tips[0, 1] == pytest.approx(tips[1, 1])
    nothing = find_anatomy(np.zeros(SIZE, np.uint8))
    assert anatomy_outputs.align_fluke(nothing) is None
    assert np.isnan(anatomy_outputs.table_columns(nothing)["span"])
    anatomy_outputs.draw_anatomy(photo, nothing)


def test_numpy_computes_what_torch_fits(tmp_path, monkeypatch):
    samples = [sample for n in range(6) if (sample := draw_sample((3, n))) is not None]
    network = outlines.fit(samples, 3, 0)
    outlines.save(network, tmp_path / "weights.npz")
    saved = dict(np.load(tmp_path / "weights.npz"))
    monkeypatch.setattr(
        outline_network, "_weights", lambda: {k: v.astype(np.float32) for k, v in saved.items()}
    )
    network.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in saved.items()})
    described = np.random.default_rng(0).normal(size=(outline_network.POINTS, 8)).astype(np.float32)
    with torch.no_grad():
        places, edge = network(torch.from_numpy(described)[None])
    mine = outline_network._forward(described)
    np.testing.assert_allclose(mine[0].T, places[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(mine[1], edge[0].numpy(), atol=1e-4)


def test_renderer_gives_tips_and_notch_on_the_edge():
    for number in range(12):
        picture = render((8, number), SIZE, PLAIN)
        assert picture.keypoints.shape == (len(picture.poses), 3, 2)
        edge = picture.trailing_edge[np.isfinite(picture.trailing_edge[:, 0])]
        for point in picture.keypoints.reshape(-1, 2):
            if np.isfinite(point[0]):
                assert np.hypot(*(edge - point).T).min() < 0.02 * SIZE[1]


def test_script_measures_a_labelled_folder(fluke, tmp_path, monkeypatch, capsys):
    mask, true = fluke
    write_rgb(tmp_path / "images" / "one.png", np.zeros((*SIZE, 3), np.uint8))
    write_rgb(tmp_path / "masks" / "one.png", mask * 255)
    head = "stem,left_tip_x,left_tip_y,notch_x,notch_y,right_tip_x,right_tip_y"
    values = ",".join(map(str, true.ravel()))
    (tmp_path / "keypoints.csv").write_text(f"{head}\none,{values}\n")
    monkeypatch.setattr("sys.argv", ["keypoints", "--folder", str(tmp_path)])
    keypoints.main()
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[0] == "mean"
    assert max(map(float, last[1:])) < 2


def test_script_measures_rendered_flukes(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["keypoints", "--count", "4"])
    keypoints.main()
    out = capsys.readouterr().out
    assert "all three" in out
    assert "trailing edge of" in out


def test_aligned_points_of_one_individual_lie_closer_than_boxed_ones(monkeypatch, capsys):
    monkeypatch.setattr("flukeseg.evaluation.anatomy.alignment_spread.POSES", 5)
    monkeypatch.setattr("sys.argv", ["keypoints", "--individuals", "1"])
    keypoints.main()
    tips = capsys.readouterr().out.splitlines()[0].split()
    boxed, aligned = float(tips[2]), float(tips[5])
    assert aligned < boxed / 2
