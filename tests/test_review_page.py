"""The review page in a real browser: what is painted, saved and shown is one mask."""

import csv
import shutil
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("fastapi", reason="needs the extra `review`")

from review_helpers import predict_photos, serving  # noqa: E402

from flukeseg.review.session import ReviewSession  # noqa: E402

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")

FLAGS = ["--headless", "--no-sandbox", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip

SHOWN = """([rows, columns]) => {
  const canvas = document.querySelectorAll('#view canvas')[1];
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return rows.map((y) => columns.map((x) => (data[4 * (y * canvas.width + x) + 3] ? 1 : 0)).join('')
  ).join('');
}"""


@pytest.fixture(scope="module")
def predicted(tiny_runs, tmp_path_factory) -> Path:
    return predict_photos(tiny_runs[0], tmp_path_factory.mktemp("reviewed"))


@pytest.fixture
def out(predicted, tmp_path) -> Path:
    """A prediction folder of one's own."""
    shutil.copytree(predicted, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, out):
    """A page of the folder, with every request and problem that it had."""
    session = ReviewSession(out)
    with serving(session) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(120_000)  # machines that run tests can be busy
        seen = SimpleNamespace(requests=[], problems=[], answers=[])
        context.on("request", lambda request: seen.requests.append(request.url))
        context.on("response", lambda r: seen.answers.append((r.request.method, r.status)))

        def open_page():
            page = context.new_page()
            page.on("pageerror", lambda error: seen.problems.append(str(error)))
            page.goto(address)
            wait_for_photo(page)
            return page

        yield SimpleNamespace(page=open_page(), open_page=open_page, address=address, **vars(seen))
        context.close()
    assert seen.problems == []
    assert {urlsplit(url).netloc for url in seen.requests if not url.startswith("blob:")} == {
        urlsplit(address).netloc
    }


def wait_for_photo(page, name: str | None = None) -> str:
    """Wait until a photo is shown, one of this name, and return its name."""
    if name is not None:
        page.wait_for_function(
            "name => document.getElementById('name').textContent === name", arg=name
        )
    page.wait_for_function(
        "() => document.getElementById('about').textContent.includes('×')"
        " && !document.getElementById('view').classList.contains('waiting')"
    )
    page.wait_for_timeout(80)  # a frame of the animation
    return page.locator("#name").text_content()


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def verdicts(out: Path) -> list[tuple[str, str, str]]:
    with (out / "review.csv").open(newline="") as file:
        return [(row["name"], row["verdict"], row["who"]) for row in csv.DictReader(file)]


def place_of(page, size: tuple[int, int]) -> tuple[float, float, float, dict]:
    """Where a photo of this (height, width) lies in the view: scale, x, y, and the view's box."""
    box = page.locator("#view").bounding_box()
    scale = min(box["width"] / size[1], box["height"] / size[0]) * 0.98
    x, y = (box["width"] - size[1] * scale) / 2, (box["height"] - size[0] * scale) / 2
    return scale, x, y, box


def drag(page, *points: tuple[float, float]) -> None:
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def painted(page, size: tuple[int, int], start: tuple, end: tuple, radius: float) -> np.ndarray:
    """Distance of each pixel's centre to a stroke in the window, less the brush, in pixels."""
    scale, left, top, box = place_of(page, size)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    ends = [
        np.array([(p[0] - box["x"] - left), (p[1] - box["y"] - top)]) / scale for p in (start, end)
    ]
    along = ends[1] - ends[0]
    share = ((x - ends[0][0]) * along[0] + (y - ends[0][1]) * along[1]) / (along @ along)
    share = share.clip(0, 1)
    away = np.hypot(x - ends[0][0] - share * along[0], y - ends[0][1] - share * along[1])
    return away - radius / scale


def seen_mask(page, size: tuple[int, int]) -> np.ndarray:
    """What the page shows of a mask, at the centre of each of its pixels."""
    scale, left, top, _ = place_of(page, size)
    rows = np.floor((np.arange(size[0]) + 0.5) * scale + top).astype(int)
    columns = np.floor((np.arange(size[1]) + 0.5) * scale + left).astype(int)
    shown = page.evaluate(SHOWN, [rows.tolist(), columns.tolist()])
    return (np.frombuffer(shown.encode(), np.uint8).reshape(size) - ord("0")) * np.uint8(255)


def test_strokes_are_saved_to_the_pixel_and_the_queue_moves_on(opened, out):
    page = opened.page
    page.fill("#who", "Ann")
    names = page.locator(".row .name").all_text_contents()
    assert len(names) == 5
    name = wait_for_photo(page)
    assert name == names[0]
    path = out / f"mask/{name}.png"
    before = read(path)
    assert np.array_equal(seen_mask(page, before.shape), before)
    box = page.locator("#view").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    start, end = (middle[0] - 180, middle[1] - 30), (middle[0] + 170, middle[1] + 55)

    drag(page, start, (middle[0], middle[1] - 200))
    page.keyboard.press("z")
    assert np.array_equal(seen_mask(page, before.shape), before)
    drag(page, start, end)
    page.keyboard.press("e")
    drag(page, (start[0], start[1] + 90), (end[0], end[1] + 60))
    shown = seen_mask(page, before.shape)
    # before the next photo is shown, whose flags may take another line and move the view
    added = painted(page, before.shape, start, end, 12)
    removed = painted(page, before.shape, (start[0], start[1] + 90), (end[0], end[1] + 60), 12)
    page.keyboard.press("Enter")
    assert wait_for_photo(page, names[1]) == names[1]

    now = read(path)
    clear = (np.abs(added) > 1e-6) & (np.abs(removed) > 1e-6)
    expected = np.where(removed <= 0, 0, np.where(added <= 0, 255, before))
    assert np.array_equal(now[clear], expected[clear])
    assert np.array_equal(now, shown)
    assert (now != before).any()
    assert verdicts(out) == [(name, "corrected", "Ann")]
    assert page.locator("#count").text_content() == "1 of 5 looked at"

    page.reload()
    wait_for_photo(page, names[1])  # the first that nobody has looked at
    page.locator(".row", has_text=name).first.click()
    wait_for_photo(page, name)
    assert np.array_equal(seen_mask(page, now.shape), now)
    assert page.locator(".row .verdict").all_text_contents() == ["✓ corrected"]


def test_every_photo_of_any_size_is_saved_as_it_is_shown(opened, out):
    page = opened.page
    names = page.locator(".row .name").all_text_contents()
    for name in names:
        wait_for_photo(page, name)
        before = read(out / f"mask/{name}.png")
        assert np.array_equal(seen_mask(page, before.shape), before)
        box = page.locator("#view").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.keyboard.press("k")  # a large part goes, and a small one comes back
        drag(page, (x - 300, y - 200), (x + 310, y - 190), (x + 150, y + 205), (x - 280, y + 180))
        page.keyboard.press("l")
        drag(page, (x - 60, y - 50), (x + 70, y - 40), (x + 20, y + 55))
        shown = seen_mask(page, before.shape)
        page.keyboard.press("ArrowRight")
        page.wait_for_function("text => document.getElementById('message').textContent === text",
                               arg=f"{name}: saved")  # fmt: skip
        assert np.array_equal(read(out / f"mask/{name}.png"), shown)
        assert shown.shape == before.shape
    assert {name for name, _, _ in verdicts(out)} == set(names)


def test_a_verdict_can_be_taken_back(opened, out):
    page = opened.page
    name = wait_for_photo(page)
    path = out / f"mask/{name}.png"
    content = path.read_bytes()
    page.keyboard.press("x")
    page.wait_for_function("name => document.getElementById('name').textContent !== name", arg=name)
    assert not read(path).any()
    wait_for_photo(page)
    page.keyboard.press("z")
    wait_for_photo(page, name)
    assert path.read_bytes() == content
    assert [said for _, said, _ in verdicts(out)] == ["no_fluke", "undone"]
    page.keyboard.press("Enter")
    page.wait_for_function("name => document.getElementById('name').textContent !== name", arg=name)
    assert path.read_bytes() == content
    assert verdicts(out)[-1][:2] == (name, "right")


def test_a_second_tab_does_not_overwrite_the_first(opened, out):
    first, second = opened.page, opened.open_page()
    name = wait_for_photo(first)
    assert wait_for_photo(second, name) == name
    box = first.locator("#view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for page in (first, second):
        page.keyboard.press("e")
    drag(first, (x - 100, y), (x + 100, y))
    first.keyboard.press("Enter")
    first.wait_for_function(
        "name => document.getElementById('name').textContent !== name", arg=name
    )
    saved = read(out / f"mask/{name}.png")

    drag(second, (x, y - 100), (x, y + 100))
    second.keyboard.press("Enter")
    second.locator("#conflict").wait_for()
    assert ("PUT", 412) in opened.answers
    assert np.array_equal(read(out / f"mask/{name}.png"), saved)
    second.get_by_text("Show theirs").click()
    wait_for_photo(second, name)
    assert np.array_equal(seen_mask(second, saved.shape), saved)

    drag(second, (x, y - 100), (x, y + 100))  # on what is there now it may paint
    shown = seen_mask(second, saved.shape)
    second.keyboard.press("Enter")
    second.wait_for_function(
        "name => document.getElementById('name').textContent !== name", arg=name
    )
    assert np.array_equal(read(out / f"mask/{name}.png"), shown)


def test_a_click_follows_an_edge_and_can_be_undone(opened, out):
    page = opened.page
    name = wait_for_photo(page)
    before = read(out / f"mask/{name}.png")
    scale, left, top, box = place_of(page, before.shape)
    row, column = np.argwhere(before == 0)[len(np.argwhere(before == 0)) // 2]
    page.keyboard.press("m")
    with page.expect_response(lambda answer: "/edge" in answer.url) as answer:
        page.mouse.click(
            box["x"] + left + (column + 0.5) * scale, box["y"] + top + (row + 0.5) * scale
        )
    assert answer.value.status == 200
    page.wait_for_function("() => !document.getElementById('undo').disabled")
    page.wait_for_timeout(80)
    shown = seen_mask(page, before.shape)
    assert shown[row, column] == 255
    assert not (before > shown).any()  # "more" takes nothing away
    page.keyboard.press("z")
    assert np.array_equal(seen_mask(page, before.shape), before)


def test_on_a_phone_a_finger_paints_and_nothing_is_wider_than_the_screen(browser, out):
    with serving(ReviewSession(out)) as address:
        context = browser.new_context(
            viewport={"width": 390, "height": 844}, has_touch=True, device_scale_factor=2
        )
        page = context.new_page()
        page.goto(address)
        wait_for_photo(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        box = page.locator("#view").bounding_box()
        assert box["height"] > 250
        assert page.locator("#undo").is_disabled()
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 40)
        assert page.locator("#right").is_visible()
        context.close()
