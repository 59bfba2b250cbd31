"""Tables for re-identification: each column against its documented meaning, and real readers."""

from __future__ import annotations

import ast
import csv
import json
import math
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run_job, write_pairs
from exchange_data import note_hashes, photos_of, row_of, write_predictions
from PIL import ExifTags, Image
from pycocotools import mask as coco_mask

import flukeseg.tables as tables_job
from flukeseg import PredictionDataset
from flukeseg.errors import InputError
from flukeseg.exchange.all_tables import TableSettings, write_tables
from flukeseg.exchange.corrections import write_corrections
from flukeseg.exchange.curvrank import TrailingEdge, curvrank_table, is_trained
from flukeseg.exchange.exif import Taken, read_taken
from flukeseg.exchange.individuals import Individuals
from flukeseg.exchange.predicted_photos import Predictions
from flukeseg.exchange.reid_tables import (
    MIEWID_COLUMNS,
    megadetector_table,
    miewid_table,
    turned_box,
    wildlife_table,
)
from flukeseg.exchange.wildbook import safe_name, wildbook_table
from flukeseg.images.encoding import encode_png
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import find_inputs

# pycocotools 2.0.11 against numpy 2; nothing of ours
of_coco = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HUMPBACK = "Megaptera novaeangliae"


def bar(angle: float, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """A fluke of a kind: a bar of 100 × 20 pixels about the middle, its right end down by angle."""
    height, width = size
    corners = cv2.boxPoints(((width / 2, height / 2), (100, 20), angle))
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [corners.round().astype(np.int32)], 1)
    return mask


@pytest.fixture
def predicted(tmp_path) -> Path:
    """Photos with a tilted fluke, with two, and with none."""
    two = bar(0)
    two[100:110, 5:25] = 1
    return write_predictions(
        tmp_path, {"a/tilted": bar(25), "b/two": two, "none": np.zeros((50, 60), np.uint8)}
    )


def fill(table, photos) -> None:
    with table as add:
        for photo in photos:
            add(photo)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def individuals(path: Path, text: str) -> Individuals:
    path.write_text(text, encoding="utf-8")
    return Individuals(path)


def crop_turned(image: np.ndarray, theta: float, x: int, y: int, w: int, h: int) -> np.ndarray:
    """Cut a turned box out as MiewID does: turn the photo back by theta, cut about the centre."""
    if abs(theta) < 0.1:
        return image[y : y + h, x : x + w]
    centre = (2 * x + w) // 2, (2 * y + h) // 2
    turn = cv2.getRotationMatrix2D(centre, math.degrees(theta), 1)
    turn[:, 2] += w / 2 - centre[0], h / 2 - centre[1]
    return cv2.warpAffine(image, turn, (w, h))


@pytest.mark.parametrize("angle", [-80, -45, -20, -7, -3, 0, 3, 7, 20, 45, 80, 90])
def test_miewid_boxes_hold_the_fluke_upright(angle):
    mask = bar(angle)
    theta, x, y, w, h = turned_box(mask)
    crop = crop_turned(mask * 255, theta, x, y, w, h)
    assert np.count_nonzero(crop > 127) > 0.985 * np.count_nonzero(mask)
    if abs(theta) >= 0.1:
        assert theta == pytest.approx(math.radians(angle), abs=0.02)
        assert (w, h) == pytest.approx((102, 22), abs=3)  # the bar lies along the box
    else:
        assert theta == 0


def test_miewid_rows(predicted, tmp_path):
    names = individuals(tmp_path / "who.csv", "photo,name\ntilted.png,Ahab\nb/two.png,Moby\n")
    fill(miewid_table(tmp_path, names, HUMPBACK, None), Predictions(predicted))
    rows = rows_of(tmp_path / "miewid.csv")
    assert tuple(rows[0]) == MIEWID_COLUMNS
    photos = photos_of(predicted)
    # who is not named is nobody else either
    assert [row["name"] for row in rows] == ["Ahab", "Moby", "unknown b/two 2"]
    assert [row["species"] for row in rows] == 3 * ["megaptera_novaeangliae"]
    assert rows[0]["file_path"] == rows[0]["file_name"] == str(photos["a/tilted"].path)
    assert float(rows[0]["theta"]) == pytest.approx(math.radians(25), abs=0.02)
    assert [rows[2][key] for key in ("theta", "x", "y", "w", "h")] == [
        "0.0",
        "5",
        "100",
        "20",
        "10",
    ]
    fill(miewid_table(tmp_path, names, HUMPBACK, 1), Predictions(predicted))
    assert [row["name"] for row in rows_of(tmp_path / "miewid.csv")] == ["Ahab", "Moby"]


def test_miewid_photos_that_exif_turns_are_written_upright(tmp_path):
    upright = np.random.default_rng(3).integers(0, 256, (40, 90, 3), np.uint8)
    photo, mask = tmp_path / "turned.png", np.zeros((40, 90), np.uint8)
    mask[5:20, 10:80] = 1
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the top is at the right of what is stored
    Image.fromarray(np.rot90(upright)).save(photo, exif=exif)
    folder = PredictionFolder(tmp_path / "predicted")
    with folder.locked():
        folder.write(tmp_path / "predicted/mask/turned.png", encode_png(mask * 255))
        folder.add_row(row_of(photo, "turned", mask) | {"exif_orientation": 6})
    fill(
        miewid_table(tmp_path, Individuals(None), HUMPBACK, 1), Predictions(tmp_path / "predicted")
    )
    (row,) = rows_of(tmp_path / "miewid.csv")
    assert row["file_path"] == str(tmp_path / "miewid_photos/turned.png")
    with Image.open(row["file_path"]) as image:
        np.testing.assert_array_equal(np.asarray(image), upright)
    assert [row[key] for key in "xywh"] == ["10", "5", "70", "15"]


@of_coco
def test_wildlife_rows(predicted, tmp_path):
    names = individuals(tmp_path / "who.csv", "photo,name\na/tilted.png,Ahab\n")
    fill(wildlife_table(tmp_path, names, None), Predictions(predicted))
    rows = rows_of(tmp_path / "wildlife.csv")
    assert [row["identity"] for row in rows] == ["Ahab", "unknown", "unknown"]
    photos = photos_of(predicted)
    flukes = [*photos["a/tilted"].flukes, *photos["b/two"].flukes]
    for row, fluke in zip(rows, flukes, strict=True):
        # text is read as JSON by some versions and evaluated by others
        segmentation = json.loads(row["segmentation"])
        assert ast.literal_eval(row["segmentation"]) == segmentation
        np.testing.assert_array_equal(coco_mask.decode(segmentation), fluke)
        assert json.loads(row["bbox"]) == coco_mask.toBbox(segmentation).tolist()
    assert rows[0]["path"] == str(photos["a/tilted"].path)


def test_megadetector_results(predicted, tmp_path):
    fill(megadetector_table(tmp_path), Predictions(predicted))
    content = json.loads((tmp_path / "megadetector.json").read_text())
    assert content["info"]["format_version"] == "1.4"
    assert content["detection_categories"] == {"1": "fluke"}
    by_file = {image["file"]: image["detections"] for image in content["images"]}
    assert by_file["none.png"] == []
    largest, second = by_file["b/two.png"]
    assert second == {
        "category": "1",
        "conf": 0.9,
        "bbox": [5 / 160, 100 / 120, 20 / 160, 10 / 120],
    }
    assert isinstance(largest["conf"], float)


def photo_with(path: Path, date: str | None, place: tuple | None) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "camera"  # a PNG's EXIF is not written without one such
    if date is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = date
    if place is not None:
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        gps.update(dict(zip((1, 2, 3, 4), place, strict=True)))
    Image.new("RGB", (20, 10)).save(path, exif=exif)


@pytest.mark.parametrize(
    ("date", "place", "taken"),
    [
        (
            "2019:07:04 13:05:59",
            ("S", (21.0, 30.0, 36.0), "W", (174.0, 0.0, 0.0)),
            Taken(datetime(2019, 7, 4, 13, 5, 59), -21.51, -174.0),
        ),
        ("0000:00:00 00:00:00", None, Taken(None, None, None)),
        (
            "2999:01:01 00:00:00",
            ("N", (0.0, 0.0, 0.0), "E", (0.0, 0.0, 0.0)),
            Taken(None, None, None),
        ),
        (None, ("N", (95.0, 0.0, 0.0), "E", (3.0, 0.0, 0.0)), Taken(None, None, None)),
        ("yesterday", None, Taken(None, None, None)),
    ],
)
def test_date_and_place_are_read_from_exif(tmp_path, date, place, taken):
    photo_with(tmp_path / "x.jpg", date, place)
    assert read_taken(tmp_path / "x.jpg") == taken


def test_wildbook_imports(tmp_path):
    mask = np.ones((10, 20), np.uint8)
    predicted = write_predictions(tmp_path, {f"été_{i:03d}": mask for i in range(202)})
    photo_with(
        tmp_path / "photos/été_000.png",
        "2019:07:04 13:05:59",
        ("S", (21.0, 30.0, 36.0), "W", (174.0, 0.0, 0.0)),
    )
    names = individuals(tmp_path / "who.csv", "photo,name\nété_000.png,Ahab\n")
    known = Predictions(predicted, tmp_path / "photos")  # changed since they were predicted on
    fill(wildbook_table(tmp_path, names, HUMPBACK, "Tonga", 2020, None), known)
    first, second = (rows_of(tmp_path / f"wildbook/00{i}/encounters.csv") for i in (1, 2))
    assert (len(first), len(second)) == (200, 2)
    assert first[0] == {
        "Encounter.mediaAsset0": "t 000.png",
        "Encounter.year": "2019", "Encounter.month": "7", "Encounter.day": "4",
        "Encounter.hour": "13", "Encounter.minutes": "5",
        "Encounter.decimalLatitude": "-21.51", "Encounter.decimalLongitude": "-174.0",
        "Encounter.genus": "Megaptera", "Encounter.specificEpithet": "novaeangliae",
        "Encounter.locationID": "Tonga", "MarkedIndividual.individualID": "Ahab",
    }  # fmt: skip
    assert (first[1]["Encounter.year"], first[1]["Encounter.month"]) == ("2020", "")
    was = {row["name"]: row["photo"] for row in rows_of(tmp_path / "wildbook/names.csv")}
    for number, rows in (("001", first), ("002", second)):
        for row in rows:
            name = row["Encounter.mediaAsset0"]
            copy = tmp_path / "wildbook" / number / "photos" / name
            assert copy.read_bytes() == Path(was[name]).read_bytes()


@pytest.mark.parametrize(
    ("location", "year", "sentence"),
    [
        ("Tonga", None, "no date in its EXIF.*give table.year="),
        (None, 2020, "no place.*give table.location="),
        (None, None, "no date and no place.*give table.year= and table.location="),
    ],
)
def test_wildbook_takes_no_encounter_without_date_and_place(
    predicted, tmp_path, location, year, sentence
):
    table = wildbook_table(tmp_path, Individuals(None), HUMPBACK, location, year, None)
    with pytest.raises(InputError, match=sentence):
        fill(table, Predictions(predicted))
    assert not (tmp_path / "wildbook/001").exists()
    assert not list(tmp_path.rglob("*.partial"))


def test_a_shorter_wildbook_import_leaves_nothing_of_the_longer_one(tmp_path, monkeypatch):
    monkeypatch.setattr("flukeseg.exchange.wildbook.MOST", 2)
    masks = {name: bar(0) for name in "abcde"}
    predicted, book = write_predictions(tmp_path, masks), tmp_path / "wildbook"

    def write():
        table = wildbook_table(tmp_path, Individuals(None), HUMPBACK, "Tonga", 2020, None)
        fill(table, Predictions(predicted))
        return sorted(str(path.relative_to(book)) for path in book.rglob("*.png"))

    assert write()[-2:] == ["002/photos/d.png", "003/photos/e.png"]
    (book / "002/photos/mine.png").write_bytes(b"mine")
    for name in "ac":
        (predicted / f"mask/{name}.png").write_bytes(encode_png(np.zeros((120, 160), np.uint8)))
    mine = "002/photos/mine.png"
    assert write() == ["001/photos/b.png", "001/photos/d.png", "002/photos/e.png", mine]
    assert not (book / "003").exists()
    (predicted / "mask/b.png").write_bytes(encode_png(np.zeros((120, 160), np.uint8)))
    assert write() == ["001/photos/d.png", "001/photos/e.png", mine]
    assert not (book / "002/encounters.csv").exists()


def test_a_wildbook_import_that_fails_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("flukeseg.exchange.wildbook.MOST", 2)
    book = tmp_path / "wildbook"

    def write(year, **masks):
        predicted = write_predictions(tmp_path, masks)
        table = wildbook_table(tmp_path, Individuals(None), HUMPBACK, "Tonga", year, None)
        fill(table, Predictions(predicted))

    write(2020, b=bar(0), c=bar(0))
    before = {path: path.read_bytes() for path in book.rglob("*.*") if path.is_file()}
    with pytest.raises(InputError, match="no date"):
        write(None, a=bar(0), b=bar(0), c=bar(0))
    assert {path: path.read_bytes() for path in book.rglob("*.*") if path.is_file()} == before


def test_photos_that_are_away_are_left_out_of_tables_and_datasets(tmp_path, caplog):
    predicted = write_predictions(tmp_path, {name: bar(0) for name in "abc"})
    (tmp_path / "photos/a.png").unlink()
    (predicted / "mask/b.png").unlink()
    assert write_tables(predicted, tmp_path, ["megadetector"], TableSettings()) == 1
    assert "2 photos or their masks are not there; left out of the tables" in caplog.text
    assert [sample["name"] for sample in PredictionDataset(predicted)] == ["c"]
    (tmp_path / "photos/c.png").unlink()
    with pytest.raises(InputError, match=r"no photo of .* is there any more"):
        write_tables(predicted, tmp_path, ["megadetector"], TableSettings())


def test_photos_that_were_replaced_or_not_read_are_left_out_aloud(tmp_path, caplog):
    predicted = write_predictions(tmp_path, {name: bar(0) for name in "abc"})
    folder = PredictionFolder(predicted)
    rows = {row["name"]: row for row in folder.rows()}
    with folder.locked():
        folder.add_row({**rows["a"], "outdated_judgement": folder.kept.judgement(rows["a"])})
        known = {key: rows["b"][key] for key in ("path", "key", "name", "stamp")}
        folder.add_row({**known, "status": "unreadable: cut short", "files": [], "products": []})
    assert write_tables(predicted, tmp_path, ["megadetector"], TableSettings()) == 1
    assert "1 photos were replaced since their masks were drawn or approved" in caplog.text
    assert "1 photos or their corrected masks could not be read; left out of" in caplog.text


def test_copies_for_tables_and_pairs_are_not_predicted_again(tmp_path):
    predicted = write_predictions(tmp_path, {"a": bar(0)})
    photos = tmp_path / "photos"
    tables = TableSettings(year=2020, location="Tonga")
    write_tables(predicted, photos / "tables", ["wildbook"], tables)
    one = next(iter(Predictions(predicted)))
    write_corrections(photos / "pairs", [(one, bar(0))])
    copies = [path for path in photos.rglob("*.png") if path.parent != photos]
    assert len(copies) == 3
    assert find_inputs(photos) == [str(photos / "a.png")]


def test_names_of_a_stranger_delete_nothing_elsewhere(tmp_path):
    predicted = write_predictions(tmp_path, {"a": bar(0)})
    (tmp_path / "elsewhere/photos").mkdir(parents=True)
    own = [tmp_path / "elsewhere/encounters.csv", tmp_path / "elsewhere/photos/b.png"]
    for path in own:
        path.write_bytes(b"")
    (tmp_path / "wildbook").mkdir()
    (tmp_path / "wildbook/002").symlink_to(tmp_path / "elsewhere")
    names = "import,name,photo\n002,b.png,b\n../elsewhere,b.png,b\n002,../encounters.csv,b\n"
    (tmp_path / "wildbook/names.csv").write_text(names)
    table = wildbook_table(tmp_path, Individuals(None), HUMPBACK, "Tonga", 2020, None)
    fill(table, Predictions(predicted))
    assert all(path.exists() for path in own)


def test_wildbook_names_have_letters_digits_periods_and_spaces_alone():
    used: set[str] = set()
    given = [
        "a/b-1.jpg",
        "a/b_1.JPG",
        "a b 1.jpg",
        "(née) #7.jpg",
        "日本.jpg",
        "x" * 300 + ".jpg",
        "..jpg",
    ]
    names = [safe_name(name, used) for name in given]
    assert names[:5] == ["a b 1.jpg", "a b 1 2.JPG", "a b 1 3.jpg", "n e 7.jpg", "photo.jpg"]
    assert len({name.lower() for name in names}) == len(names)
    assert max(map(len, names)) <= 84
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzJPG0123456789. ") for name in names)


def test_curvrank_contours_need_no_pickle(predicted, tmp_path, caplog):
    points = np.array([[50.25, 40.75], [60.0, 80.0], [70.75, 120.0]])
    edge = TrailingEdge(points, np.array([0, 1, 0]))
    caplog.set_level("INFO")
    fill(
        curvrank_table(
            tmp_path, Individuals(None), lambda photo: edge if photo.name == "a/tilted" else None
        ),
        Predictions(predicted),
    )
    assert "1 photos, 2 left out" in caplog.text
    (row,) = rows_of(tmp_path / "curvrank.csv")
    assert (row["Name"], row["Train"]) == ("unknown a/tilted", str(int(is_trained(row["Name"]))))
    assert row["Image"] == str(photos_of(predicted)["a/tilted"].path)
    with np.load(row["Contour"], allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["contour"], points[:, ::-1])  # x, y
        assert arrays["occluded"].tolist() == [False, True, False]
        assert arrays["radii"].shape == (3,)
        x, y, _, _ = arrays["crop"]
        back = arrays["row_column"] + (y, x)
        np.testing.assert_array_equal(back, points.round())
        assert arrays["row_column"].dtype.kind == "i"


def test_curvrank_leaves_out_edges_of_masks_that_were_changed(predicted, tmp_path, caplog):
    note_hashes(predicted)
    (predicted / "mask/a/tilted.png").write_bytes(encode_png(255 * bar(0)))
    edge = TrailingEdge(np.array([[50.0, 40.0], [60.0, 80.0]]), np.array([0, 0]))
    fill(curvrank_table(tmp_path, Individuals(None), lambda _: edge), Predictions(predicted))
    assert [row["Name"] for row in rows_of(tmp_path / "curvrank.csv")] == ["unknown b/two"]
    assert "1 photos left out, whose masks were changed" in caplog.text


def test_a_fifth_of_the_individuals_is_for_validation():
    shares = [is_trained(f"whale {i}") for i in range(2000)]
    assert np.mean(shares) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("photo,who\na,b\n", "must have the columns photo and name"),
        ("photo,name\na.png,x\na.png,y\n", "names a.png twice, x and y"),
    ],
)
def test_individuals_that_cannot_be_meant_are_refused(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        individuals(tmp_path / "who.csv", text)


@pytest.mark.parametrize("separator", ";\t")
def test_names_of_a_spreadsheet_where_a_comma_is_in_numbers(tmp_path, separator):
    predicted = write_predictions(tmp_path, {"x": bar(0)})
    rows = [("photo", "name", "share"), ("x.png", "Ahab", "0,5")]
    names = individuals(tmp_path / "who.csv", "\n".join(map(separator.join, rows)))
    assert [names.name(photo) for photo in Predictions(predicted)] == ["Ahab"]


def test_names_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "who.csv").write_bytes(b"photo,name\na.png,M\xfcller\n")
    with pytest.raises(InputError, match="is not UTF-8; save it as CSV UTF-8"):
        Individuals(tmp_path / "who.csv")


def test_a_file_name_of_two_photos_names_nobody(tmp_path):
    predicted = write_predictions(tmp_path, {"a/x": bar(0), "b/x": bar(0)})
    names = individuals(tmp_path / "who.csv", "photo,name\nx.png,Ahab\n")
    with pytest.raises(InputError, match=r"x.png, which is .*; give its path"):
        fill(wildlife_table(tmp_path, names, 1), Predictions(predicted))


def test_masks_of_another_size_than_their_photo_are_refused(predicted):
    (predicted / "mask/none.png").write_bytes(encode_png(np.zeros((40, 60), np.uint8)))
    with pytest.raises(InputError, match=r"none.png is 60 × 40, its photo 60 × 50"):
        photos_of(predicted)["none"].read_mask()


def test_from_photos_to_tables(tmp_path, run_predict, tiny_runs):
    write_pairs(tmp_path, 3)
    run_predict(f"checkpoint={tiny_runs[0]}", "source=images", "output=out")
    flukes = [photo for photo in Predictions("out") if photo.flukes]
    first = flukes[0].name  # which photos have a mask depends on the processor
    edge = tmp_path / f"out/edge/{first}.edge.csv"
    edge.parent.mkdir()
    edge.write_text("fluke,x,y,occluded\n1,3.5,4,0\n1,9,8,1\n2,0,0,0\n")
    (tmp_path / "who.csv").write_text(f"photo,name\n{first}.jpg,Ahab\nfluke_09.jpg,Moby\n")
    kinds = "tables=[miewid,wildlife,megadetector,wildbook,curvrank]"
    given = ["individuals=who.csv", "table.year=2020", "table.location=Tonga", "output=tables"]
    run_job(tables_job, "predictions=out", kinds, *given)
    for name in ("miewid", "wildlife", "wildbook/001/encounters"):
        assert len(rows_of(tmp_path / f"tables/{name}.csv")) == len(flukes)
    assert len(rows_of(tmp_path / "tables/curvrank.csv")) == 1
    assert len(json.loads((tmp_path / "tables/megadetector.json").read_text())["images"]) == 3


def test_tables_are_products_too(tmp_path, run_predict, tiny_runs, capsys):
    write_pairs(tmp_path, 3)
    named = "".join(f"fluke_{number:02d}.jpg,Ahab\n" for number in range(3))
    (tmp_path / "who.csv").write_text(f"photo,name\n{named}")
    given = [f"checkpoint={tiny_runs[0]}", "source=images", "output=out"]
    kinds = "products=[miewid,wildlife,curvrank]"
    with pytest.raises(SystemExit):
        run_predict(*given, kinds, "individuals=nobody.csv")
    assert "individuals=nobody.csv cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out/mask").exists()
    run_predict(*given, kinds, "individuals=who.csv")
    run_job(tables_job, "predictions=out", "individuals=who.csv", "output=again")
    for name in ("miewid", "wildlife"):
        table = tmp_path / f"out/tables/{name}.csv"
        assert "Ahab" in table.read_text()
        assert table.read_text() == (tmp_path / f"again/{name}.csv").read_text()
    assert (tmp_path / "out/tables/curvrank.csv").exists()
    assert list((tmp_path / "out/edge").iterdir())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["tables=[excel]"], "tables=excel is not one of miewid, wildlife"),
        (["tables=[]"], "must name one of"),
        (["table.flukes=some"], "table.flukes=some must be largest or all"),
        (
            ["tables=[wildbook]", "table.species=Whale"],
            "table.species=Whale must be genus and epithet",
        ),
        (["individuals=none.csv"], "individuals=none.csv cannot be read"),
        (["individuals=[a,b.csv]"], "individuals=['a', 'b.csv'] must be a text"),
        (["table.location=[Azores, Pico]"], "is written 'table.location=\"TEXT\"'"),
        (["table.location=Azores, Pico"], "text with a comma 'table.location=\"Azores, Pico\"'"),
        (["table.submitter=1e3"], "table.submitter=1000.0 must be a text"),
        (["individuals=who.csv"], "individuals=who.csv names none of the 3 photos"),
    ],
)
def test_the_job_names_what_is_wrong(options, sentence, predicted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("who.csv").write_text("photo,name\nelsewhere.jpg,Ahab\n")
    with pytest.raises(SystemExit):
        run_job(tables_job, f"predictions={predicted}", "output=out", *options)
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.csv"))
