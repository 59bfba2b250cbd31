"""The report: one page that stands alone, whatever the results."""

import base64
import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from flukeseg.errors import InputError
from flukeseg.evaluation.pairing import find_predicted, find_true_masks, pair
from flukeseg.evaluation.pictures import FALSE, MISSED, draw_masks
from flukeseg.evaluation.report import label, shown, sum_up, verdict, write_report
from flukeseg.evaluation.results import Result, judge_pairs
from flukeseg.evaluation.statistics import METRICS, calibrate, compare, summarise
from flukeseg.rendering import render

ODD = '<b>&"é'
SIZE = (96, 192)
COUNT = 12
PIXELS = 10_000_000

VOID = {"meta", "br", "img"}
TABLE = ("Under stress", "What <fog> costs.", [["condition", "Dice"], ["<i>fog</i>", "0.871"]])


class Page(HTMLParser):
    """A page that was read: every element must end where it ought to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        if data.strip() and self.open[-1] != "style":
            self.text += f" {' '.join(data.split())}"

    def values(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs in self.elements if name in attrs]


def read_page(path: Path) -> Page:
    """Read a page and check that it needs nothing else."""
    page = Page(path)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    for value in page.values("href") + page.values("xlink:href"):
        assert value.startswith("data:") or value[1:] in ids
    assert all(value.startswith("data:image/jpeg;base64,") for value in page.values("src"))
    assert all(attrs["alt"] for tag, attrs in page.elements if tag == "img")
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.elements}
    source = path.read_text(encoding="utf-8")
    assert "http" not in source
    assert "@import" not in source
    assert all(inside.startswith("#") for inside in re.findall(r"url\(([^)]*)", source))
    return page


def section(page: Page, start: str, end: str) -> str:
    """The text between two headings; the contents name them before."""
    return page.text.split(f" {start} ")[2].split(f" {end} ")[0]


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """`truth/` of pairs and edges; `own/` of flukeseg.predict; `other/`: masks, some missing."""
    root = tmp_path_factory.mktemp("judged")
    rng = np.random.default_rng(0)
    table = []
    for number in range(COUNT):
        name = ODD if number == 0 else f"fluke {number}"
        picture = render((3, number), SIZE)
        write_png(root / f"truth/images/{name}.png", picture.image[..., ::-1])
        write_png(root / f"truth/masks/{name}.png", picture.mask * 255)
        if len(picture.trailing_edge):
            lines = [f"{x},{y}\n" for x, y in picture.trailing_edge]
            edge = root / f"truth/edges/{name}.csv"
            edge.parent.mkdir(exist_ok=True)
            edge.write_text("x,y\n" + "".join(lines))
        masks = []
        for most in (4, 9):
            square = np.ones((rng.integers(2, most),) * 2, np.uint8)
            masks.append(cv2.morphologyEx(picture.mask, rng.integers(2), square) * 255)
        masks[0][:] *= number != 0  # the odd one is missed
        write_png(root / f"own/mask/{name}.png", masks[0])
        table.append([f"x/{name}.jpg", f"mask/{name}.png", 0.9 - 0.01 * number, "", 0.25])
        if number > 1:
            write_png(root / f"other/{name}.png", masks[1])
    table[0][3] = "empty; <tiny>"
    with (root / "own/predictions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "mask", "confidence", "review", "seconds"], *table])
    return root


def judged(name: str, truth: Path, guesses: Path, only: set[str] | None = None) -> Result:
    truths = find_true_masks(truth)
    wanted = {stem: truths[stem] for stem in (truths if only is None else only)}
    return judge_pairs(name, pair(wanted, find_predicted(guesses)), PIXELS)


@pytest.fixture(scope="module")
def own(folder) -> Result:
    return judged("own, flip", folder / "truth", folder / "own")


@pytest.fixture(scope="module")
def other(folder) -> Result:
    return judged(f"other {ODD} $x_", folder / "truth", folder / "other")


def test_one_result(own, tmp_path):
    path = tmp_path / "report.html"
    write_report(path, f"Flukes {ODD}", [own], {}, [TABLE], PIXELS)
    page = read_page(path)
    dice = own.summary["figures"]["dice"]["mean"]
    assert f"Flukes {ODD} {COUNT} photos: mean Dice {dice:.3f} (95 % interval" in page.text
    assert "1 fluke missed, none false; the ten worst are below." in page.text
    assert len(page.values("src")) == 20
    # the odd name heads the worst, with why to look at it; nothing of it became an element
    assert f"1. {ODD} · Dice 0.000" in page.text
    assert "flagged: empty; <tiny>" in page.text
    assert "With fewer than" in page.text
    assert f"of {COUNT} photos finds" in page.text
    assert "What <fog> costs." in page.text
    assert "<i>fog</i>" in page.text
    assert {"fog", "tiny", "i"}.isdisjoint(tag for tag, _ in page.elements)
    for figure in METRICS:
        assert f"about-{figure}" in page.values("id"), "every metric is in the glossary"
    assert "Comparisons" not in page.text


def test_two_results_with_a_comparison(own, other, tmp_path):
    path = tmp_path / "report.html"
    compared = {f"{other.name} less {own.name}": compare(other.rows, own.rows)}
    write_report(path, "Two", [own, other], compared, [], PIXELS)
    page = read_page(path)
    assert f"{other.name} less {own.name}" in page.text
    # what has no prediction is told at the top
    names = ", ".join(sorted([ODD, "fluke 1"]))
    note = f"{other.name}: 2 photos, no prediction: judged as empty ({names})"
    assert 0 < page.text.index(note) < page.text.index("Glossary")
    assert page.text.count("●") == 1  # a legend of markers: over the scatter
    assert "Seconds per photo, median lower is better 0.250 –" in page.text


def test_the_same_data_give_the_same_bytes(own, other, tmp_path):
    pages = []
    for name in ("a", "b"):
        write_report(tmp_path / name, "Twice", [own, other], {}, [TABLE], PIXELS)
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_masks_alone(folder, tmp_path):
    """Neither photos nor confidences nor trailing edges."""
    result = judged("masks", folder / "truth/masks", folder / "other")
    write_report(tmp_path / "report.html", "Masks", [result], {}, [], PIXELS)
    page = read_page(tmp_path / "report.html")
    assert "the background is grey" in page.text
    assert "Trailing edge" not in page.text
    assert "calibration" not in page.values("id")
    assert "confidence" not in section(page, "Metrics", "How this was made")
    assert "Seconds" not in page.text


def test_everything_perfect(folder, tmp_path):
    result = judged("perfect", folder / "truth", folder / "truth/masks")
    same = compare(result.rows, result.rows)
    write_report(
        tmp_path / "report.html", "P", [result], {"perfect less perfect": same}, [], PIXELS
    )
    page = read_page(tmp_path / "report.html")
    assert "no fluke missed, none false; every mask is exact." in page.text
    assert "None: every mask is exact." in page.text
    assert "1.000 to 1.000" in page.text
    assert section(page, "Comparisons", "Distributions").count(" neither") == len(same)


@pytest.mark.parametrize("name", [ODD, "fluke 3"])
def test_one_photo(folder, tmp_path, name):
    result = judged("one", folder / "truth", folder / "own", {name})
    compared = {"a less b": compare(result.rows, result.rows)}
    write_report(tmp_path / "report.html", "One", [result, result], compared, [], PIXELS)
    page = read_page(tmp_path / "report.html")
    assert f"– 1 photo: Dice {result.rows[0]['dice']:.3f};" in page.text
    assert "Dice +0.000 – 1 neither" in page.text  # no interval


def test_no_photo_has_a_fluke(tmp_path):
    """Nothing to measure by: no coverage to plot; the ground of a false fluke is the whole."""
    empty, false = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    false[40:60, 80:120] = 255
    for name, guess in (("a", empty), ("b", false)):
        write_png(tmp_path / f"truth/{name}.png", empty)
        write_png(tmp_path / f"guess/{name}.png", guess)
    result = judged("sea", tmp_path / "truth", tmp_path / "guess")
    write_report(tmp_path / "report.html", "Sea", [result], {}, [], PIXELS)
    page = read_page(tmp_path / "report.html")
    assert "coverage" not in page.values("id")
    assert "no fluke missed, 1 false; the worst is below." in page.text
    assert "false fluke" in page.text


def test_thousands_of_photos_stay_small(folder, own, tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for number in range(5000):
        values = dict.fromkeys(METRICS, 0.0) | {"dice": 1 - rng.random() ** 6, "hd95": 3.0}
        about = {"coverage": rng.random() / 2, "confidence": rng.random(), "seconds": 0.1}
        rows.append({"name": f"{number}", "note": "", "review": "", **values, **about})
    # as large as a picture gets
    photo, true, picture = tmp_path / "photo.png", tmp_path / "mask.png", render((3, 1), (480, 640))
    write_png(photo, picture.image[..., ::-1])
    write_png(true, picture.mask * 255)
    truth, guess = (both._replace(mask=true) for both in own.pairs[ODD])
    worst = sorted(rows, key=lambda row: row["dice"])[:10]
    pairs = {row["name"]: (truth._replace(photo=photo), guess) for row in worst}
    summary = summarise(worst) | {"photos": len(rows)}  # of all of them it takes a while
    result = Result("many", rows, summary, calibrate(rows), pairs)
    write_report(tmp_path / "report.html", "Many", [result], {}, [], PIXELS)
    read_page(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 2_000_000


def decoded(uri: str) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) < 40).all(-1)


@pytest.fixture
def drawn(tmp_path):
    """Draw a fluke 100 × 100 in the middle of 1000 × 800, found 20 pixels too far to the right."""
    true, predicted = np.zeros((2, 800, 1000), np.uint8)
    true[350:450, 450:550] = predicted[350:450, 470:570] = 255
    write_png(tmp_path / "masks/a.png", true)
    write_png(tmp_path / "guess/a.png", predicted)

    def draw(photo: np.ndarray | bytes | None):
        path = tmp_path / "images/a.png"
        if isinstance(photo, bytes):
            path.parent.mkdir()
            path.write_bytes(photo)
        elif photo is not None:
            write_png(path, photo)
        (both,) = pair(find_true_masks(tmp_path), find_predicted(tmp_path / "guess")).values()
        return draw_masks(*both, PIXELS)

    return draw


@pytest.mark.parametrize("photo", [None, b"no photo", np.full((800, 1000, 3), 128, np.uint8)])
def test_a_small_fluke_is_cropped_to(drawn, photo):
    pictures = drawn(photo)
    # 120 × 100 about both masks and 24 of sea on each side, four times as large at most
    assert pictures.share == 168 * 148 / 800_000
    outlined, errors = decoded(pictures.outlines), decoded(pictures.errors)
    height, width = errors.shape[:2]
    assert outlined.shape == errors.shape
    assert (width, height) == (545, 480)
    middle = errors[height // 2]
    scale = width / 168
    assert abs(near(middle, MISSED).sum() - 20 * scale) < 4
    assert abs(near(middle, FALSE).sum() - 20 * scale) < 4
    assert np.argmax(near(middle, MISSED)) < np.argmax(near(middle, FALSE))
    assert (np.abs(outlined[:5].astype(int) - 128) < 3).all()


def test_a_photo_may_be_larger_than_its_masks(drawn):
    photo = np.zeros((1600, 2000, 3), np.uint8)
    photo[700:900, 900:1100] = 255  # the fluke
    outlined = decoded(drawn(photo).outlines)
    light = outlined.min(-1) > 250
    rows, columns = np.flatnonzero(light.any(1)), np.flatnonzero(light.any(0))
    scale = outlined.shape[1] / 168
    assert rows[0] == pytest.approx(24 * scale, abs=6)
    assert columns[0] == pytest.approx(24 * scale, abs=6)
    assert rows[-1] == pytest.approx(124 * scale, abs=6)


def test_words():
    assert [shown(0.91234, "dice"), shown(0.91234, "hd95")] == ["0.912", "0.91"]
    assert [shown(0.0417, "missed"), label("missed")] == ["4.17", "Missed flukes, % of photos"]
    assert [shown(x, "dice", True) for x in (0.1, -0.1, -1e-9)] == ["+0.100", "−0.100", "+0.000"]
    sides = "A", "B"
    for figure, ends, better in (
        ("dice", (0.1, 0.2), "A"),
        ("dice", (-0.2, -0.1), "B"),
        ("hd95", (0.1, 0.2), "B"),
        ("hd95", (-0.2, -0.1), "A"),
        ("dice", (-0.1, 0.2), ""),
        ("dice", (0, 0), ""),
    ):
        assert verdict({"ci95": ends, "n": 9}, figure, sides) == better
    assert verdict({"ci95": (0.1, 0.1), "n": 1}, "dice", sides) == ""


def test_the_sentence(own):
    assert re.fullmatch(
        r"12 photos: mean Dice 0\.\d{3} \(95 % interval 0\.\d{3} to [01]\.\d{3}\); "
        r"1 fluke missed, none false; the ten worst are below\.",
        sum_up(own),
    )


def test_corrected_masks_are_found_by_photos_in_folders(tmp_path):
    """`collect` and `annotations` write `a/b` as `a__b`; the exact name comes first."""
    square = np.zeros((8, 8), np.uint8)
    for name in ("truth/a__b", "truth/c__d", "guess/a/b", "guess/c__d", "guess/c/d"):
        write_png(tmp_path / f"{name}.png", square)
    truths, guesses = find_true_masks(tmp_path / "truth"), find_predicted(tmp_path / "guess")
    matched = {
        name: guess.mask.relative_to(tmp_path) for name, (_, guess) in pair(truths, guesses).items()
    }
    assert matched == {"a__b": Path("guess/a/b.png"), "c__d": Path("guess/c__d.png")}


def test_two_predictions_of_one_corrected_mask_are_refused(tmp_path):
    for name in ("truth/a__b__c", "guess/a/b__c", "guess/a__b/c"):
        write_png(tmp_path / f"{name}.png", np.zeros((8, 8), np.uint8))
    truths, guesses = find_true_masks(tmp_path / "truth"), find_predicted(tmp_path / "guess")
    with pytest.raises(InputError, match="a/b__c and a__b/c are both predictions of a__b__c"):
        pair(truths, guesses)
