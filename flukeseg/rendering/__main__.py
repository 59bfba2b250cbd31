"""Draw a contact sheet of rendered flukes: `python -m flukeseg.rendering sheet.png`."""

import argparse
from pathlib import Path

from flukeseg.masks.sheets import Cell, draw_sheet
from flukeseg.rendering.not_flukes import render_not_fluke
from flukeseg.rendering.scene import render


def main() -> None:
    """Render flukes with consecutive seeds and write them as a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="PNG or JPEG file to write")
    parser.add_argument("--rows", type=int, default=6, help="rows of the sheet")
    parser.add_argument("--columns", type=int, default=4, help="columns of the sheet")
    parser.add_argument("--seed", type=int, default=0, help="first part of each picture's seed")
    parser.add_argument("--masks", action="store_true", help="outline each mask in green")
    parser.add_argument("--not-flukes", action="store_true", help="fins, backs and boats instead")
    options = parser.parse_args()
    draw = render_not_fluke if options.not_flukes else render
    rows = {}
    for row in range(options.rows):
        cells = []
        for column in range(options.columns):
            number = row * options.columns + column
            picture = draw((options.seed, number))
            mask = picture.mask if options.masks else None
            cells.append(Cell(f"{options.seed}, {number}", picture.image, mask))
        rows[f"row {row}: seed"] = cells
    draw_sheet(rows, options.path)


if __name__ == "__main__":
    main()
