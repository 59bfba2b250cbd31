"""Tips, notch and trailing edge of rendered flukes, whose truth is known."""

import csv
import io

import cv2
import numpy as np
import pytest
import torch

from flukeseg.evaluation import keypoints
from flukeseg.masks import anatomy_outputs, outline_network
from flukeseg.masks.anatomy import CUT, EMPTY, HIDDEN, SMALL, UNCLEAR, Anatomy, find_anatomy
from flukeseg.masks.contour import signed_area, subpixel_outline
from flukeseg.masks.measures import measure
from flukeseg.rendering import render
from flukeseg.training import outlines
from flukeseg.training.outline_samples import draw_sample
from tests.conftest import write_rgb

SIZE = (256, 512)
PLAIN = ("waves", "backdrop", "company", "skin", "light", "camera", "empty", "mount", "splash")


def _fluke(tips=((60, 60), (440, 90)), notch=(255, 140), size=SIZE) -> np.ndarray:
    """A fluke of straight trailing edges, round leading edges and a stock, by hand."""
    (lx, ly), (rx, ry), (nx, ny) = *tips, notch
    polygon = [
        (lx, ly), (nx, ny), (rx, ry), (rx - 40, ry + 50), (nx + 80, ny + 60), (nx + 35, ny + 90),
        (nx - 35, ny + 90), (nx - 80, ny + 60), (lx + 40, ly + 50),
    ]  # fmt: skip
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.array(polygon, np.int32)], 1)
    return mask


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


def test_outline_of_all_of_the_photo_is_its_frame():
    outline = subpixel_outline(np.ones((20, 30), np.uint8))
    np.testing.assert_allclose([outline.min(0), outline.max(0)], [[0, 0], [30, 20]])


@pytest.mark.parametrize("angle", [0, -30, 40])
def test_finds_a_fluke_drawn_by_hand(angle):
    matrix = cv2.getRotationMatrix2D((256, 160), angle, 0.75)
    mask = cv2.warpAffine(_fluke(), matrix, (512, 320), flags=cv2.INTER_NEAREST)
    true = np.array([[60, 60], [255, 140], [440, 90]]) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    found = find_anatomy(mask)
    span = np.hypot(*(true[2] - true[0]))
    assert np.hypot(*(_places(found) - true).T).max() < 0.02 * span
    measured = measure(found)
    assert measured.span == pytest.approx(span, rel=0.02)
    assert measured.angle == pytest.approx(np.degrees(np.arctan2(30, 380)) - angle, abs=1.5)
    assert measured.notch_depth == pytest.approx(0.75 * 64, rel=0.15)
    assert measured.view == "trailing edge up"


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


def test_mirrored_photo_mirrors_the_anatomy():
    mask = _fluke()
    one, other = find_anatomy(mask), find_anatomy(mask[:, ::-1])
    mirrored = _places(other)[::-1] * [-1, 1] + [SIZE[1], 0]
    assert np.abs(_places(one) - mirrored).max() < 4


def test_upside_down_the_trailing_edge_is_the_lower_side():
    found = find_anatomy(_fluke()[::-1, ::-1])
    if found.left_tip.known and found.right_tip.known:
        assert found.trailing_edge_up is False
        assert found.left_tip.x < found.right_tip.x
        assert measure(found).view == "trailing edge down"
        assert measure(found).notch_depth > 0
    assert found.edge.points[0, 0] < found.edge.points[-1, 0]


def test_a_tip_beyond_the_frame_is_not_told():
    found = find_anatomy(np.ascontiguousarray(_fluke()[:, 110:]))
    assert not found.left_tip.known
    assert np.isnan(found.left_tip.xy).all()
    assert found.left_tip.reason == CUT
    assert found.right_tip.known
    assert measure(found).view == "one lobe"
    assert np.isnan(measure(found).span)
    assert np.hypot(*(found.right_tip.xy - [330.5, 90.5])) < 8


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


def test_edge_runs_from_tip_over_notch_to_tip():
    found = find_anatomy(_fluke())
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


def test_outputs_of_a_fluke():
    found = find_anatomy(_fluke())
    photo = np.zeros((*SIZE, 3), np.uint8)
    anatomy_outputs.draw_anatomy(photo, found, 2)
    x, y = points_near = found.edge.points[len(found.edge.points) // 4].astype(int)
    assert photo[y - 1 : y + 2, x - 1 : x + 2].any(), points_near
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
        ends = picture.trailing_edge
        for point in picture.keypoints.reshape(-1, 2):
            if np.isfinite(point[0]):
                assert (ends == point).all(1).any()


def test_script_measures_a_labelled_folder(tmp_path, monkeypatch, capsys):
    true = [[60, 60], [255, 140], [440, 90]]
    write_rgb(tmp_path / "images" / "one.png", np.zeros((*SIZE, 3), np.uint8))
    write_rgb(tmp_path / "masks" / "one.png", _fluke() * 255)
    head = "stem,left_tip_x,left_tip_y,notch_x,notch_y,right_tip_x,right_tip_y"
    values = ",".join(f"{value + 0.5}" for point in true for value in point)
    (tmp_path / "keypoints.csv").write_text(f"{head}\none,{values}\n")
    monkeypatch.setattr("sys.argv", ["keypoints", "--folder", str(tmp_path)])
    keypoints.main()
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[0] == "mean"
    assert max(map(float, last[1:])) < 2
