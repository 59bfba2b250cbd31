"""The report on results: figures, plots and the worst photos, in one HTML file and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from flukeseg.evaluation.judging import Row
from flukeseg.evaluation.pictures import FALSE, MISSED, draw_masks
from flukeseg.evaluation.report_plots import (
    draw_calibration,
    draw_coverage,
    draw_distributions,
    look,
)
from flukeseg.evaluation.results import Result, Table
from flukeseg.evaluation.statistics import BAD, LOWER_IS_BETTER, METRICS, RESAMPLES
from flukeseg.images.reading import MASK_THRESHOLD
from flukeseg.masks.drawing import OUTLINE
from flukeseg.masks.sheets import TRUTH

RATES = frozenset({"missed", "false"})
"""Figures that are yes or no for a photo: their mean is told in percent, without a median."""

PERCENT = RATES | {"hd95", "assd", "trailing_mean", "trailing_p95"}

FEW = 20  # photos: of fewer, resamples are too much alike for their interval to be believed

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

Figures = Mapping[str, Any]


def write_report(
    path: Path,
    title: str,
    results: Sequence[Result],
    comparisons: Mapping[str, Figures],
    extras: Sequence[Table],
    max_pixels: int,
) -> None:
    """Write the report. The same data give the same bytes.

    Args:
        path: of the HTML file.
        title: of the page.
        results: one or more; the first is the one whose worst photos are shown.
        comparisons: of `compare`, by "A less B".
        extras: further tables.
        max_pixels: of a photo that is read.

    Raises:
        InputError: a mask that was judged cannot be read any more.
    """
    first = results[0]
    rows = [result.rows for result in results]
    page = _template().render(
        title=title,
        results=results,
        comparisons=comparisons,
        sides={f"{a.name} less {b.name}": (a.name, b.name) for a in results for b in results},
        extras=[(heading, said, cells, _numeric(cells)) for heading, said, cells in extras],
        sentence=sum_up(first),
        notes=[note for result in results for note in _notes(result, len(results) > 1)],
        shown_figures=[n for n in METRICS if any(n in r.summary["figures"] for r in results)],
        best={name: _best(results, name) for name in METRICS},
        distributions=draw_distributions(rows),
        coverage=draw_coverage(rows),
        empty=sum(row["coverage"] == 0 for row in first.rows),
        calibrations={
            number: draw_calibration(result.rows, result.calibration["fit"], number)
            for number, result in enumerate(results)
            if result.calibration
        },
        # read and drawn one at a time, while the page is being written
        worst=((row, draw_masks(*first.pairs[row["name"]], max_pixels)) for row in _worst(first)),
    )
    # a file name that is no UTF-8 is written with its bytes as \udc.., as in tables
    path.write_text(page, encoding="utf-8", errors="backslashreplace", newline="\n")


def sum_up(result: Result) -> str:
    """Say in a sentence how good a result is."""
    photos, dice = result.summary["photos"], result.summary["figures"]["dice"]
    missed, false = (sum(row[name] > 0 for row in result.rows) for name in ("missed", "false"))
    mean = f"Dice {shown(dice['mean'], 'dice')}"
    if photos > 1:
        mean = f"mean {mean} (95 % interval {between(dice, 'dice')})"
    wrong = f"{count(missed, 'fluke') if missed else 'no fluke'} missed, {false or 'none'} false"
    worst = len(_worst(result))
    end = f"the {NUMBERS[worst]} worst are below" if worst > 1 else "the worst is below"
    return f"{count(photos, 'photo')}: {mean}; {wrong}; {end if worst else 'no mask is off'}."


def count(number: int, thing: str) -> str:
    """Return "no photos", "1 photo", "2 photos"."""
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"


def shown(value: float, figure: str, signed: bool = False) -> str:
    """Return a figure's value as the report shows it: three decimals, or percent with two."""
    value, digits = (100 if figure in RATES else 1) * value, 2 if figure in PERCENT else 3
    return f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def between(known: Figures, figure: str, signed: bool = False) -> str:
    """Return the ends of a 95 % interval; a dash where a single photo has none."""
    if known["n"] < 2:
        return "–"
    return " to ".join(shown(end, figure, signed) for end in known["ci95"])


def label(figure: str) -> str:
    """Return a figure's name with its unit."""
    return METRICS[figure] + (", % of photos" if figure in RATES else "")


def verdict(compared: Figures, figure: str, sides: tuple[str, str]) -> str:
    """Return the side that a paired difference favours; nothing where its interval holds 0."""
    low, high = compared["ci95"]
    if compared["n"] < 2 or low <= 0 <= high:
        return ""
    return sides[(low > 0) == (figure in LOWER_IS_BETTER)]


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "between": between, "label": label, "verdict": verdict}
    environment.globals |= {
        "count": count,
        "look": look,
        "LOWER_IS_BETTER": LOWER_IS_BETTER,
        "RATES": RATES,
        "BAD": BAD,
        "FEW": FEW,
        "RESAMPLES": RESAMPLES,
        "MASK_THRESHOLD": MASK_THRESHOLD,
        "colours": {
            name: f"rgb{colour}"
            for name, colour in (
                ("truth", TRUTH), ("outline", OUTLINE), ("missed", MISSED), ("false", FALSE),
            )
        },
    }  # fmt: skip
    return environment.get_template("report.html.j2")


def _worst(result: Result) -> list[Row]:
    names = [photo["name"] for photo in result.summary["worst"] if photo["dice"] < 1]
    rows = {row["name"]: row for row in result.rows}
    return [rows[name] for name in names]


def _notes(result: Result, named: bool) -> list[str]:
    told = []
    for note, number in result.summary["notes"].items():
        names = [row["name"] for row in result.rows if row["note"] == note]
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        whose = f"{result.name}: " if named else ""
        told.append(f"{whose}{count(number, 'photo')}, {note} ({listed})")
    return told


def _best(results: Sequence[Result], figure: str) -> set[int]:
    """Which of several results have the best mean, as it is shown; none where all do."""
    means = {
        number: float(shown(known["mean"], figure))
        for number, result in enumerate(results)
        if (known := result.summary["figures"].get(figure))
    }
    best = (min if figure in LOWER_IS_BETTER else max)(means.values(), default=None)
    found = {number for number, mean in means.items() if mean == best}
    return found if len(found) < len(means) else set()


def _numeric(cells: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns of a table hold numbers, intervals and dashes alone."""
    columns = zip(*cells[1:], strict=True) if len(cells) > 1 else [["no number"]] * len(cells[0])
    return [all(not cell or cell[0] in "0123456789+-−–" for cell in column) for column in columns]
