"""The report on results: metrics, plots and the worst photos, in a single HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from flukeseg.atomic_files import atomic_write
from flukeseg.evaluation.judging import Row
from flukeseg.evaluation.pictures import FALSE, MISSED, draw_masks
from flukeseg.evaluation.report_plots import (
    draw_calibration,
    draw_coverage,
    draw_distributions,
    style_of,
)
from flukeseg.evaluation.results import Result, Table
from flukeseg.evaluation.statistics import BAD, LOWER_IS_BETTER, METRICS, RESAMPLES
from flukeseg.images.reading import MASK_THRESHOLD
from flukeseg.masks.drawing import OUTLINE
from flukeseg.masks.sheets import TRUTH

RATES = frozenset({"missed", "false"})
"""Metrics that are yes or no for a photo: shown as a mean in percent, without a median."""

PERCENT = RATES | {"hd95", "assd", "trailing_mean", "trailing_p95"}

FEW = 20  # photos: with fewer, resamples are so alike that their intervals are too narrow

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

Summary = Mapping[str, Any]


def write_report(
    path: Path,
    title: str,
    results: Sequence[Result],
    comparisons: Mapping[str, Summary],
    extras: Sequence[Table],
    max_pixels: int,
) -> None:
    """Write the report; the same data give the same bytes.

    Args:
        path: of the HTML file.
        title: of the page.
        results: one or more; the worst photos of the first are shown.
        comparisons: of `compare`, by "A less B".
        extras: further tables.
        max_pixels: photos with more are not read.

    Raises:
        InputError: a judged mask can no longer be read, or the report cannot be written.
    """
    first = results[0]
    rows = [result.rows for result in results]
    page = _template().render(
        title=title,
        results=results,
        comparisons=comparisons,
        sides={f"{a.name} less {b.name}": (a.name, b.name) for a in results for b in results},
        extras=[(heading, meaning, cells, _numeric(cells)) for heading, meaning, cells in extras],
        sentence=sum_up(first),
        notes=[note for result in results for note in _notes(result, len(results) > 1)],
        shown_metrics=[n for n in METRICS if any(n in r.summary["figures"] for r in results)],
        best={name: _best(results, name) for name in METRICS},
        distributions=draw_distributions(rows),
        coverage=draw_coverage(rows),
        empty=sum(row["coverage"] == 0 for row in first.rows),
        calibrations={
            number: draw_calibration(result.rows, result.calibration["fit"], number)
            for number, result in enumerate(results)
            if result.calibration
        },
        # drawn one at a time while the page is rendered, to keep memory flat
        worst=((row, draw_masks(*first.pairs[row["name"]], max_pixels)) for row in _worst(first)),
    )
    with atomic_write(path) as partial:
        # bytes of a file name that are not UTF-8 are written as \udc.., as in tables
        partial.write_text(page, encoding="utf-8", errors="backslashreplace", newline="\n")


def sum_up(result: Result) -> str:
    """Summarise a result in a sentence."""
    photos, dice = result.summary["photos"], result.summary["figures"]["dice"]
    missed, false = (sum(row[name] > 0 for row in result.rows) for name in ("missed", "false"))
    mean = f"Dice {shown(dice['mean'], 'dice')}"
    if photos > 1:
        mean = f"mean {mean} (95 % interval {between(dice, 'dice')})"
    wrong = f"{count(missed, 'fluke') if missed else 'no fluke'} missed, {false or 'none'} false"
    worst = len(_worst(result))
    end = f"the {NUMBERS[worst]} worst are below" if worst > 1 else "the worst is below"
    return f"{count(photos, 'photo')}: {mean}; {wrong}; {end if worst else 'every mask is exact'}."


def count(number: int, thing: str) -> str:
    """Return "no photos", "1 photo", "2 photos"."""
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"


def shown(value: float, metric: str, signed: bool = False) -> str:
    """Format a metric's value: three decimals, or percent with two."""
    value, digits = (100 if metric in RATES else 1) * value, 2 if metric in PERCENT else 3
    return f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def between(known: Summary, metric: str, signed: bool = False) -> str:
    """Format a 95 % interval; a dash where there is a single photo."""
    if known["n"] < 2:
        return "–"
    return " to ".join(shown(end, metric, signed) for end in known["ci95"])


def label(metric: str) -> str:
    """Return a metric's name with its unit."""
    return METRICS[metric] + (", % of photos" if metric in RATES else "")


def verdict(compared: Summary, metric: str, sides: tuple[str, str]) -> str:
    """Return the side that a paired difference favours; "" where its interval contains 0."""
    low, high = compared["ci95"]
    if compared["n"] < 2 or low <= 0 <= high:
        return ""
    return sides[(low > 0) == (metric in LOWER_IS_BETTER)]


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
        "style_of": style_of,
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
    notes = []
    for note, number in result.summary["notes"].items():
        names = [row["name"] for row in result.rows if row["note"] == note]
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        whose = f"{result.name}: " if named else ""
        notes.append(f"{whose}{count(number, 'photo')}, {note} ({listed})")
    return notes


def _best(results: Sequence[Result], metric: str) -> set[int]:
    """Number the results with the best mean, as shown; none where all are equal."""
    means = {
        number: float(shown(known["mean"], metric))
        for number, result in enumerate(results)
        if (known := result.summary["figures"].get(metric))
    }
    best = (min if metric in LOWER_IS_BETTER else max)(means.values(), default=None)
    found = {number for number, mean in means.items() if mean == best}
    return found if len(found) < len(means) else set()


def _numeric(cells: Sequence[Sequence[str]]) -> list[bool]:
    """Return for each column of a table whether it holds only numbers, intervals and dashes."""
    columns = zip(*cells[1:], strict=True) if len(cells) > 1 else [["no number"]] * len(cells[0])
    return [all(not cell or cell[0] in "0123456789+-−–" for cell in column) for column in columns]
