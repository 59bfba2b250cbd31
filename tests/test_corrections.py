"""Masks that a person changed stay, and everything follows them."""

import json

import cv2
import numpy as np
import pytest
from conftest import SIZE, write_rgb
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from test_predict import EVERY, journal, read, table, the_error

from flukeseg.rendering import render

# pycocotools 2.0.11 against numpy 2; nothing of ours
of_coco = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def photos(tmp_path):
    for i in range(4):
        write_rgb(tmp_path / f"photos/{i}.png", render((3, i), SIZE).image)
    return tmp_path / "photos"


@pytest.fixture
def run(run_predict, tiny_runs, photos):
    """Predict on the four photos; overrides come last."""
    return lambda *more, network=0: run_predict(
        f"checkpoint={tiny_runs[network]}", f"source={photos}", "output=out", *more
    )


def edit(path) -> np.ndarray:
    """Change a mask in an image editor: a square is added, a corner cleared, a speck left."""
    with Image.open(path) as image:
        image.load()
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 60, 50), fill=255)
    draw.rectangle((0, 0, 128, 12), fill=0)
    draw.rectangle((3, 60, 3, 60), fill=255)
    image.save(path)
    return np.asarray(image)


def check_follows(out, name: str, mask: np.ndarray, photo: np.ndarray) -> None:
    """Check every product of one photo, its row and its annotations, against a mask."""
    row = next(row for row in table(out).values() if row["mask"] == f"mask/{name}.png")
    assert np.array_equal(read(out / f"mask/{name}.png"), mask)
    assert row["status"] == "corrected"
    assert float(row["coverage"]) == pytest.approx((mask > 0).mean(), abs=1e-6)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA])
    large = stats[1:, cv2.CC_STAT_AREA][order] >= 0.01 * stats[1:, cv2.CC_STAT_AREA].max()
    flukes = [labels == 1 + i for i in order[large]]
    assert int(row["flukes"]) == len(flukes)
    x, y, width, height = stats[1 + order[0]][:4]
    assert [int(row[f"box_{side}"]) for side in ("x", "y", "width", "height")] == [
        x, y, width, height,
    ]  # fmt: skip
    assert np.array_equal(read(out / f"rgbm/{name}.png")[..., 3], mask)
    assert np.array_equal(read(out / f"probability/{name}.png"), mask)
    assert not read(out / f"uncertainty/{name}.png").any()
    cutout = read(out / f"cutout/{name}.png")
    assert np.array_equal(cutout[..., 3] > 0, flukes[0][y : y + height, x : x + width])
    white = read(out / f"white/{name}.png")[..., ::-1]
    there = photo[y : y + height, x : x + width]
    assert np.array_equal(white, np.where(cutout[..., 3:] > 0, there, 255))
    assert read(out / f"crop/{name}.png").shape[0] >= height
    assert sorted(p.name for p in (out / "cutout").glob(f"{name}.*")) == sorted(
        [f"{name}.png"] + [f"{name}.fluke{i}.png" for i in range(2, len(flukes) + 1)]
    )
    coco = json.loads((out / "coco.json").read_text())
    number = next(i["id"] for i in coco["images"] if row["path"].endswith(f"/{i['file_name']}"))
    drawn = [
        coco_mask.decode(
            coco_mask.frPyObjects(a["segmentation"], *mask.shape)
            if isinstance(a["segmentation"], dict)
            else coco_mask.merge(coco_mask.frPyObjects(a["segmentation"], *mask.shape))
        )
        for a in coco["annotations"]
        if a["image_id"] == number
    ]
    assert len(drawn) == len(flukes)
    assert sum(int(part.sum()) for part in drawn) == sum(int(part.sum()) for part in flukes)


@of_coco
def test_an_edited_mask_stays_and_everything_follows_it(run, photos, tmp_path):
    run(EVERY)
    before = {row["name"]: row for row in journal("out")}
    mask = edit(tmp_path / "out/mask/2.png")
    photo = read(photos / "2.png")[..., ::-1]
    run(EVERY)
    check_follows(tmp_path / "out", "2", mask, photo)
    others = {row["name"]: row for row in journal("out") if row["name"] != "2"}
    assert others == {name: row for name, row in before.items() if name != "2"}

    run(EVERY, "remake=true", network=1)  # another checkpoint, and so other settings
    check_follows(tmp_path / "out", "2", mask, photo)
    rows = {row["mask"]: row for row in table("out").values()}
    assert rows["mask/1.png"]["checkpoint"] != rows["mask/2.png"]["checkpoint"]

    (tmp_path / "out/overlay/2.jpg").unlink()
    mask = edit(tmp_path / "out/mask/2.png")[::-1].copy()
    Image.fromarray(mask).save(tmp_path / "out/mask/2.png")
    run(EVERY, "remake=true", "threshold=0.4", network=1)
    check_follows(tmp_path / "out", "2", mask, photo)


@of_coco
def test_products_that_come_later_are_made_of_the_edited_mask(run, photos, tmp_path):
    run()
    mask = edit(tmp_path / "out/mask/0.png")
    run(EVERY)
    check_follows(tmp_path / "out", "0", mask, read(photos / "0.png")[..., ::-1])


def test_an_emptied_mask_leaves_no_cut_outs(run, tmp_path):
    run("products=[cutout,crop]")
    for path in (tmp_path / "out/mask").iterdir():
        Image.new("L", SIZE[::-1]).save(path)
    run("products=[cutout,crop]")
    assert {row["flukes"] for row in table("out").values()} == {"0"}
    assert {row["status"] for row in table("out").values()} == {"corrected"}
    assert not list((tmp_path / "out/cutout").iterdir()) + list((tmp_path / "out/crop").iterdir())


def test_a_correction_taken_back_leaves_the_networks_mask_and_products(run, tmp_path):
    run("products=[rgbm]")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.png")}
    edit(tmp_path / "out/mask/1.png")
    run("products=[rgbm]")
    assert table("out") != before
    (tmp_path / "out/mask/1.png").write_bytes(before[tmp_path / "out/mask/1.png"])
    run("products=[rgbm]")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.png")} == before
    assert "corrected" not in {row["status"] for row in table("out").values()}


def test_a_deleted_mask_is_made_again(run, tmp_path):
    run()
    edit(tmp_path / "out/mask/1.png")
    run()
    (tmp_path / "out/mask/1.png").unlink()
    run()
    assert (tmp_path / "out/mask/1.png").exists()
    assert "corrected" not in {row["status"] for row in table("out").values()}


def test_a_mask_of_another_size_is_kept_and_named(run, tmp_path):
    run("products=[overlay]")
    Image.new("L", (30, 20), 255).save(tmp_path / "out/mask/1.png")
    run("products=[overlay]")
    [status] = {row["status"] for row in table("out").values() if "unreadable" in row["status"]}
    assert "its corrected mask is 30 × 20, the photo 128 × 64" in status
    assert read(tmp_path / "out/mask/1.png").shape == (20, 30)


def test_masks_of_journals_without_hashes_are_the_networks(run, tmp_path):
    run()
    path = tmp_path / "out/.flukeseg/journal-all.jsonl"
    rows = [
        {key: value for key, value in row.items() if key not in ("mask_sha256", "generation")}
        for row in journal("out")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run()
    assert "corrected" not in {row["status"] for row in table("out").values()}
    edit(tmp_path / "out/mask/1.png")  # from now on it is seen
    run("products=[rgbm]")
    rows = {row["mask"]: row["status"] for row in table("out").values()}
    assert rows["mask/1.png"] == "corrected"


def test_other_settings_are_refused_unless_asked_for(run, tmp_path, capsys):
    run()
    assert "remake=true" in the_error(run, capsys, "threshold=0.4")
    edit(tmp_path / "out/mask/1.png")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out/mask").iterdir()}
    run("threshold=0.1", "remake=true")
    now = {path.name: path.read_bytes() for path in (tmp_path / "out/mask").iterdir()}
    assert before["1.png"] == now["1.png"]
    assert sum(before[name] != now[name] for name in before) == 3


def test_an_approved_mask_stays_with_another_network(run, tmp_path):
    run("products=[overlay]")
    (tmp_path / "out/review.csv").write_text(
        "name,verdict,who\n3,right,Ann\n2,right,Ann\n2,undone,Ann\n"
    )
    before = {path.name: path.read_bytes() for path in (tmp_path / "out/mask").iterdir()}
    run("products=[overlay,rgbm]", "remake=true", network=1)
    now = {path.name: path.read_bytes() for path in (tmp_path / "out/mask").iterdir()}
    assert [name for name in before if before[name] == now[name]] == ["3.png"]
    assert np.array_equal(
        read(tmp_path / "out/rgbm/3.png")[..., 3], read(tmp_path / "out/mask/3.png")
    )
    rows = {row["mask"]: row["status"] for row in table("out").values()}
    assert rows["mask/3.png"] != "corrected"
