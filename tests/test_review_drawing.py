"""Drawing on a mask, in node and without a browser, against shapes worked out by NumPy."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

DRAWING = Path(__file__).parent.parent / "flukeseg/review/static/drawing.js"
HEIGHT, WIDTH = 60, 90

SCRIPT = """
const source = require('fs').readFileSync(process.argv[1], 'utf-8');
const {width, height, start, steps} = JSON.parse(require('fs').readFileSync(0, 'utf-8'));
import('data:text/javascript;base64,' + Buffer.from(source).toString('base64')).then((drawing) => {
  const mask = {width, height, pixels: Uint8Array.from(Buffer.from(start, 'base64'))};
  const masks = [];
  const edits = [];
  for (const [name, ...values] of steps) {
    if (name === 'undo' || name === 'again') {
      edits.push(edits.pop().undo(mask));
    } else {
      const edit = new drawing.Edit();
      if (name === 'paste') values[1] = Uint8Array.from(values[1]);
      drawing[name](mask, edit, ...values);
      edits.push(edit);
    }
    masks.push({pixels: Buffer.from(mask.pixels).toString('base64'), box: edits.at(-1).box});
  }
  process.stdout.write(JSON.stringify(masks));
});
"""

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None, reason="needs node to run the page's script"
)


def draw(steps: list, start: np.ndarray | None = None) -> list[tuple[np.ndarray, dict | None]]:
    """Run steps of drawing.js; return the mask and the edit's box after each."""
    start = np.zeros((HEIGHT, WIDTH), np.uint8) if start is None else start
    work = {
        "width": WIDTH,
        "height": HEIGHT,
        "start": base64.b64encode(start.tobytes()).decode(),
        "steps": steps,
    }
    done = subprocess.run(
        ["node", "-e", SCRIPT, str(DRAWING)],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        (
            np.frombuffer(base64.b64decode(mask["pixels"]), np.uint8).reshape(HEIGHT, WIDTH),
            mask["box"],
        )
        for mask in json.loads(done.stdout)
    ]


def point(x: float, y: float) -> dict[str, float]:
    return {"x": x, "y": y}


def centres() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return x, y


def capsule(start: dict, end: dict, radius: float) -> np.ndarray:
    """Distance of every pixel's centre to the segment, less the radius."""
    x, y = centres()
    dx, dy = end["x"] - start["x"], end["y"] - start["y"]
    length = dx * dx + dy * dy
    along = ((x - start["x"]) * dx + (y - start["y"]) * dy) / (length or 1)
    along = along.clip(0, 1) if length else 0
    return np.hypot(x - start["x"] - along * dx, y - start["y"] - along * dy) - radius


def test_a_stroke_holds_exactly_the_pixels_within_its_radius():
    random = np.random.default_rng(0)
    strokes = [
        (point(*random.uniform(-20, 110, 2)), point(*random.uniform(-20, 80, 2)), radius)
        for radius in (0.5, 1, 3.3, 17, 120)
        for _ in range(20)
    ]
    strokes += [(point(10, 10), point(10, 10), 6), (point(3, 5.5), point(60, 5.5), 2),
                (point(7.5, 2), point(7.5, 50), 2)]  # fmt: skip
    steps = []
    for start, end, radius in strokes:
        steps += [["drawCapsule", start, end, radius, 255], ["undo"]]
    results = draw(steps)
    for (start, end, radius), (mask, _), (undone, _) in zip(
        strokes, results[::2], results[1::2], strict=True
    ):
        away = capsule(start, end, radius)
        clear = np.abs(away) > 1e-9  # on the edge itself rounding decides
        assert np.array_equal((mask > 0)[clear], (away <= 0)[clear])
        assert not undone.any()


def winding_number(points: list[dict]) -> np.ndarray:
    x, y = centres()
    turns = np.zeros((HEIGHT, WIDTH))
    for a, b in zip(points, points[1:] + points[:1], strict=True):
        first = np.arctan2(a["y"] - y, a["x"] - x)
        turn = np.arctan2(b["y"] - y, b["x"] - x) - first
        turns += (turn + np.pi) % (2 * np.pi) - np.pi
    return np.rint(turns / (2 * np.pi))


def test_a_lasso_holds_everything_it_goes_around():
    random = np.random.default_rng(1)
    lassos = [
        [point(*random.uniform((-20, -20), (110, 80))) for _ in range(corners)]
        for corners in (3, 4, 7, 30)
        for _ in range(10)
    ]
    results = draw([step for line in lassos for step in (["fillPolygon", line, 255], ["undo"])])
    for line, (mask, _) in zip(lassos, results[::2], strict=True):
        assert np.array_equal(mask > 0, winding_number(line) != 0)


def test_the_eraser_and_undo_bring_back_every_pixel():
    start = (255 * (np.random.default_rng(2).random((HEIGHT, WIDTH)) > 0.5)).astype(np.uint8)
    line = [point(5.1, 5.2), point(80.3, 10.9), point(41.6, 57.3)]
    steps = [
        ["drawCapsule", point(10.1, 10.2), point(70.3, 50.9), 9.1, 0],
        ["fillPolygon", line, 255],
        ["undo"],
        ["again"],
        ["undo"],
    ]
    results = draw(steps, start)
    erased = np.where(capsule(point(10.1, 10.2), point(70.3, 50.9), 9.1) <= 0, 0, start)
    filled = np.where(winding_number(line) != 0, 255, erased)
    for (mask, _), truth in zip(results, [erased, filled, erased, filled, erased], strict=True):
        assert np.array_equal(mask, truth)


def test_an_edit_knows_the_box_it_changed():
    [(mask, box)] = draw([["drawCapsule", point(30, 20), point(50, 40), 4, 255]])
    rows, columns = np.nonzero(mask)
    assert box == {
        "left": columns.min(),
        "top": rows.min(),
        "right": columns.max() + 1,
        "bottom": rows.max() + 1,
    }


def test_a_stroke_that_changes_nothing_is_no_edit():
    full = np.full((HEIGHT, WIDTH), 255, np.uint8)
    [(mask, box)] = draw([["drawCapsule", point(5, 5), point(9, 9), 4, 255]], full)
    assert mask.all()
    assert box is None


def test_a_part_is_put_in_its_place():
    part = np.random.default_rng(3).choice([0, 255], 20 * 10)
    box = {"left": 65, "top": 40, "right": 85, "bottom": 50}
    [(mask, _), (undone, _)] = draw([["paste", box, part.tolist()], ["undo"]])
    assert np.array_equal(mask[40:50, 65:85].ravel(), part)
    assert np.count_nonzero(mask) == np.count_nonzero(part)
    assert not undone.any()
