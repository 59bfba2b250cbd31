import csv
import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import TINY, predict_with, silhouette, write_pairs, write_rgb
from hypothesis import given
from hypothesis import strategies as st

from flukeseg.data.pair_folder import FolderDataModule
from flukeseg.evaluation.statistics import (
    calibrate,
    choose_threshold,
    compare,
    expected_dice,
    fit_confidence,
    interval,
    summarise,
)
from flukeseg.rendering import render

FEW = ["num_workers=0", "batch_size=4", "trainer.accelerator=cpu"]


def a_row(name: str, dice: float, **more) -> dict:
    return {"name": name, "note": "", "dice": dice, "review": ""} | more


def per_photo(output: str = "e") -> list[dict[str, str]]:
    with Path(output, "per_photo.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def masks(tmp_path_factory) -> Path:
    """True masks of six photos with their edges, and predictions that are off in known ways."""
    root = tmp_path_factory.mktemp("judged")
    for i in range(6):
        picture = render((7, i), (96, 192))
        name = f"{i}.png"
        write_rgb(root / "truth/masks" / name, picture.mask * 255)
        write_rgb(root / "truth/images" / name, picture.image)
        edge = "".join(f"{x},{y}\n" for x, y in picture.trailing_edge)
        (root / "truth/edges").mkdir(exist_ok=True)
        (root / f"truth/edges/{i}.csv").write_text(f"x,y\n{edge}")
        write_rgb(root / "same" / name, picture.mask * 255)
        write_rgb(root / "thin" / name, cv2.erode(picture.mask, np.ones((5, 5))) * 255)
    return root


def test_masks_from_anywhere_are_judged(run_evaluate, masks):
    run_evaluate(f"predictions={masks / 'same'}", f"truth={masks / 'truth'}", "output=e")
    figures = json.loads(Path("e/summary.json").read_text())["results"]["same"]["figures"]
    assert figures["dice"]["mean"] == figures["boundary_iou_05"]["mean"] == 1
    assert figures["hd95"]["mean"] == figures["assd"]["mean"] == 0
    assert figures["trailing_mean"]["mean"] < 1
    rows = per_photo()
    assert [row["name"] for row in rows] == [str(i) for i in range(6)]
    assert list(rows[0])[-3:] == ["tp", "fp", "fn"]
    for row in rows:
        pixels = np.count_nonzero(cv2.imread(str(masks / "same" / f"{row['name']}.png")) > 0) // 3
        assert (row["tp"], row["fp"], row["fn"]) == (str(pixels), "0", "0")
    assert "<html" in Path("e/report.html").read_text()


def test_two_results_are_compared_photo_by_photo(run_evaluate, masks):
    two = f"predictions=[{masks / 'same'},{masks / 'thin'}]"
    run_evaluate(two, f"truth={masks / 'truth'}", "output=e")
    summary = json.loads(Path("e/summary.json").read_text())
    change = summary["comparisons"]["thin less same"]["dice"]
    means = [summary["results"][name]["figures"]["dice"]["mean"] for name in ("thin", "same")]
    assert change["difference"] == pytest.approx(means[0] - means[1])
    assert change["difference"] < 0
    assert change["n"] == 6


def test_a_missing_prediction_is_a_miss_and_a_surplus_one_is_left_out(
    run_evaluate, masks, tmp_path, capsys
):
    shutil.copytree(masks / "same", tmp_path / "some")
    (tmp_path / "some/0.png").rename(tmp_path / "some/nobody.png")
    run_evaluate("predictions=some", f"truth={masks / 'truth'}", "output=e")
    row, *others = per_photo()
    assert (row["name"], float(row["dice"]), float(row["missed"])) == ("0", 0, 1)
    assert row["note"] == "no prediction: judged as empty"
    assert len(others) == 5
    assert "no truth, left out (1): nobody" in capsys.readouterr().out


def test_a_soft_mask_is_said_to_be_none(run_evaluate, masks, tmp_path):
    shutil.copytree(masks / "same", tmp_path / "soft")
    mask = cv2.imread(str(masks / "same/1.png"), cv2.IMREAD_GRAYSCALE)
    write_rgb(tmp_path / "soft/1.png", cv2.GaussianBlur(mask, (0, 0), 6))
    run_evaluate("predictions=soft", f"truth={masks / 'truth'}", "output=e")
    notes = json.loads(Path("e/summary.json").read_text())["results"]["soft"]["notes"]
    assert notes == {"prediction not binary: grey above 108 is taken as fluke": 1}


def test_a_checkpoint_is_judged_on_validation_photos(run_evaluate, tiny_runs, shared_pairs):
    data = ["data=folder", f"data.root={shared_pairs}", "data.val_count=4"]
    run_evaluate(f"checkpoint={tiny_runs[0]}", *data, "output=e", "tta=[none,flip]",
                 "sizes=[[32,64],[64,128]]", *FEW)  # fmt: skip
    summary = json.loads(Path("e/summary.json").read_text())
    assert list(summary["results"]) == [
        "64 × 32, none", "64 × 32, flip", "128 × 64, none", "128 × 64, flip",
    ]  # fmt: skip
    assert all(one["photos"] == 4 for one in summary["results"].values())
    assert all(one["seconds"] > 0 for one in summary["results"].values())
    assert len(summary["comparisons"]) == 3


def test_a_run_is_judged_on_the_photos_it_validated_on(run_train, run_evaluate, shared_pairs):
    data = ["data=folder", f"data.root={shared_pairs}"]
    run_train("+experiment=seresnet34", *data, "data.val_count=3", "seed=7", "name=own", *TINY,
              "trainer.max_epochs=1")  # fmt: skip
    (run,) = Path("outputs/own").iterdir()
    run_evaluate(f"checkpoint={run}", *data, "output=e", *FEW)
    own = FolderDataModule(shared_pairs, val_count=3, seed=7, size=(32, 64), num_workers=0)
    own.setup()
    assert {row["name"] for row in per_photo()} == {*own.val_set.source.names}


def test_what_an_earlier_report_predicted_is_not_judged_again(run_evaluate, tiny_runs, tmp_path):
    def evaluate(seed: int, count: int, output: str) -> list[dict[str, str]]:
        run_evaluate(f"checkpoint={tiny_runs[0]}", "data=synthetic", f"data.test_count={count}",
                     "photo_size=[60,120]", f"output={output}", f"seed={seed}", *FEW)  # fmt: skip
        return [{k: v for k, v in row.items() if k != "seconds"} for row in per_photo(output)]

    evaluate(66, 4, "e")
    assert evaluate(67, 3, "e") == evaluate(67, 3, "fresh")


def test_photos_of_another_folder_by_the_same_names_are_other_photos(
    run_evaluate, tiny_runs, tmp_path
):
    for folder, seed in (("a", 1), ("b", 2)):
        write_pairs(tmp_path / folder, 4, seed=seed)

    def evaluate(root: str, output: str) -> list[dict[str, str]]:
        run_evaluate(f"checkpoint={tiny_runs[0]}", "data=folder", f"data.root={tmp_path / root}",
                     "subset=all", f"output={output}", *FEW)  # fmt: skip
        return [{k: v for k, v in row.items() if k != "seconds"} for row in per_photo(output)]

    evaluate("a", "e")
    assert evaluate("b", "e") == evaluate("b", "fresh")


def test_the_truths_threshold_is_that_of_the_data(run_evaluate, tiny_runs, tmp_path):
    write_pairs(tmp_path / "grey", 3)
    coverage = {}
    for path in (tmp_path / "grey/masks").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 108
        write_rgb(path, np.where(mask, 100, 0).astype(np.uint8))
        coverage[path.stem] = pytest.approx(mask.mean())
    run_evaluate(f"checkpoint={tiny_runs[0]}", "data=folder", f"data.root={tmp_path / 'grey'}",
                 "data.mask_threshold=50", "subset=all", "output=e", *FEW)  # fmt: skip
    assert {row["name"]: float(row["coverage"]) for row in per_photo()} == coverage


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("trainer.devices=2", "do not work with flukeseg.evaluate"),
        ("shard=1/2", "shard=1/2 is an option of flukeseg.predict"),
    ],
)
def test_it_is_one_job(run_evaluate, masks, capsys, option, told):
    with pytest.raises(SystemExit):
        run_evaluate(f"predictions={masks / 'same'}", f"truth={masks / 'truth'}", "output=e",
                     option)  # fmt: skip
    assert told in capsys.readouterr().err


def test_a_checkpoint_is_judged_on_fins_and_boats(run_evaluate, tiny_runs):
    given = f"checkpoint={tiny_runs[0]}", "data=synthetic", "data.test_count=6", *FEW
    run_evaluate(*given, "photo_size=[64,128]", "data.not_flukes=1", "output=e")
    masks = [cv2.imread(str(path), 0) for path in Path("e/rendered/masks").iterdir()]
    assert len(masks) == 6
    assert not any(mask.any() for mask in masks)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("predictions=a", "truth=b", "stress=true"), "stress goes with checkpoint=, not with"),
        (("predictions=a", "truth=b", "sizes=[[1,2]]"), "sizes goes with checkpoint=, not with"),
        (("predictions=a", "truth=b", "subset=all"), "subset goes with checkpoint=, not with"),
        (("predictions=a", "truth=b", "tta=[none,flip]"), "several values of tta goes with"),
        (("runs=a", "data=folder", "data.root=b"), "data goes with checkpoint=, not with runs="),
        (("runs=a", "truth=b"), "truth goes with predictions=, not with runs="),
        (("checkpoint=rendered", "truth=b", "data=folder", "data.root=c"), "not with checkpoint="),
    ],
)
def test_what_a_form_does_not_read_is_refused(run_evaluate, capsys, given, said):
    with pytest.raises(SystemExit):
        run_evaluate(*given, "output=e")
    assert said in capsys.readouterr().err


def test_a_checkpoint_is_judged_on_rendered_photos_and_under_stress(run_evaluate, tiny_runs):
    run_evaluate(f"checkpoint={tiny_runs[0]}", "data=synthetic", "data.test_count=3",
                 "photo_size=[60,120]", "stress=true", "output=e", *FEW)  # fmt: skip
    summary = json.loads(Path("e/summary.json").read_text())
    (result,) = summary["results"].values()
    assert "trailing_mean" in result["figures"]
    (table,) = summary["tables"].values()
    assert [row[0] for row in table][:3] == ["condition", "plain", "grey"]
    assert table[1][2] == "+0.000"


def test_folds_are_judged_by_who_never_saw_them(run_train, run_evaluate, shared_pairs):
    data = ["+experiment=seresnet34", "data=folder", f"data.root={shared_pairs}", "data.folds=2"]
    for fold in (0, 1):
        run_train(*data, f"data.fold={fold}", *TINY, "trainer.max_epochs=1", "name=folds")
    run_evaluate("runs=outputs/folds", "output=e", *FEW)
    summary = json.loads(Path("e/summary.json").read_text())
    assert summary["results"]["out of fold"]["photos"] == 12
    assert len(summary["tables"]["Threshold"]) == 18


def test_a_fold_that_is_missing_is_named(run_train, run_evaluate, shared_pairs, capsys):
    data = ["+experiment=seresnet34", "data=folder", f"data.root={shared_pairs}", "data.folds=2"]
    run_train(*data, "data.fold=0", *TINY, "trainer.max_epochs=1", "name=half")
    with pytest.raises(SystemExit):
        run_evaluate("runs=outputs/half", "output=e", *FEW)
    assert "photos are in no fold of outputs/half" in capsys.readouterr().err


ERRORS = {
    "nothing": ([], "predictions=DIR truth=DIR"),
    "two forms": (["predictions=a", "runs=b"], "not predictions and runs"),
    "no truth": (["predictions={same}"], "truth has no value"),
    "no such truth": (["predictions={same}", "truth=gone"], "truth=gone is not a folder"),
    "no such predictions": (["predictions=gone", "truth={truth}"], "predictions=gone"),
    "no data": (["checkpoint={checkpoint}"], "data has no value"),
    "subset": (["checkpoint={checkpoint}", "data=folder", "data.root=.", "subset=some"], "subset="),
    "few pairs": (
        ["checkpoint={checkpoint}", "data=folder", "data.root={truth}"],
        "of 6; to judge all photos, add subset=all",
    ),
    "no runs": (["runs={same}"], "holds no runs"),
    "sizes": (
        ["checkpoint={checkpoint}", "data=folder", "data.root={truth}", "sizes=[5]"],
        "sizes",
    ),
    "other size": (["predictions=small", "truth={truth}"], "is 20 × 10 and"),
    "zeros and ones": (["predictions=ones", "truth={truth}"], "0 and 1 instead of grey"),
    "no photos": (["predictions=strangers", "truth={truth}"], "no prediction has the name"),
    "same stem": (["predictions=twins", "truth={truth}"], "have the same name"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_input_is_one_error(run_evaluate, masks, tiny_runs, tmp_path, capsys, case):
    for i in range(6):
        write_rgb(tmp_path / f"small/{i}.png", np.zeros((10, 20), np.uint8))
        write_rgb(tmp_path / f"ones/{i}.png", np.ones((96, 192), np.uint8))
    write_rgb(tmp_path / "strangers/x.png", np.zeros((10, 20), np.uint8))
    for suffix in ("png", "bmp"):
        write_rgb(tmp_path / f"twins/0.{suffix}", np.zeros((10, 20), np.uint8))
    options, expected = ERRORS[case]
    paths = {"same": masks / "same", "truth": masks / "truth", "checkpoint": tiny_runs[0]}
    with pytest.raises(SystemExit) as ended:
        run_evaluate(*(option.format(**paths) for option in options), "output=e")
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert expected in told
    assert "Traceback" not in told


def test_undefined_figures_are_counted_out():
    rows = [a_row("a", 1.0, hd95=1.0), a_row("b", 0.5, hd95=float("nan")), a_row("c", 0.0)]
    summary = summarise(rows)
    assert summary["figures"]["dice"]["n"] == 3
    assert summary["figures"]["hd95"]["n"] == 1
    assert "trailing_mean" not in summary["figures"]
    assert [photo["name"] for photo in summary["worst"]] == ["c", "b", "a"]


def test_an_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(3)
    ends = [interval(rng.normal(0, 1, 60), seed) for seed in range(200)]
    assert 0.88 < np.mean([low < 0 < high for low, high in ends]) < 0.99


def test_a_difference_needs_the_same_photos():
    first = [a_row(str(i), 0.9) for i in range(5)]
    second = [a_row(str(i), 0.8) for i in range(3, 9)]
    assert compare(first, second)["dice"] == {
        "difference": pytest.approx(0.1), "ci95": pytest.approx([0.1, 0.1]), "n": 2,
    }  # fmt: skip


def test_the_review_queue_by_hand():
    """Of ten photos the three bad ones are the first, the second and the fifth least confident."""
    dice = [0.1, 0.2, 0.95, 0.95, 0.3, 0.95, 0.95, 0.95, 0.95, 0.95]
    rows = [
        a_row(str(i), d, confidence=i / 10, review="tiny" if i in (1, 2) else "")
        for i, d in enumerate(dice)
    ]
    found = calibrate(rows)
    assert (found["bad"], found["to_look_at"]) == (3, 5)
    assert (found["flagged"], found["flagged_bad"]) == (2, 1)
    assert found["auroc"] == pytest.approx(19 / 21)
    assert calibrate([a_row("a", 1.0, confidence=float("nan"))]) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_expected_dice_rises_with_confidence(points):
    confidence, dice = np.array(points).T
    fit = fit_confidence(confidence, dice)
    expected = expected_dice(fit, np.linspace(0, 1, 50))
    assert (np.diff(expected) >= -1e-12).all()
    assert dice.min() - 1e-12 <= expected.min()
    assert expected.max() <= dice.max() + 1e-12


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1), st.randoms())
def test_a_fit_does_not_depend_on_the_order_of_equal_confidences(points, random):
    confidence, dice = np.array(points).T
    shuffled = random.sample(points, len(points))
    other = fit_confidence(*np.array(shuffled).T)
    assert np.array(fit_confidence(confidence, dice)) == pytest.approx(np.array(other))
    assert len({at for at, _ in other}) == len(other)  # one Dice for each confidence


def test_a_threshold_is_worth_what_it_gives_others():
    """Fold 0 is best at 0.3 and fold 1 at 0.7: chosen on the other, each choice does harm."""
    dice = np.array([[0.9, 0.8, 0.6], [0.6, 0.8, 0.9]])
    chosen = choose_threshold(dice, np.array([0.3, 0.5, 0.7]), np.array([0, 1]))
    assert chosen["worth"] == pytest.approx(-0.2)
    assert chosen["at_half"] == pytest.approx(0.8)


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are Unicode")
def test_a_name_that_is_no_utf8_is_judged_as_any_other(run_evaluate, dark_network):
    Path("photos").mkdir()
    write_rgb(Path("plain.png"), silhouette(3, (60, 90)))
    os.rename(b"plain.png", b"photos/latin\xe9.png")  # noqa: PTH104
    predict_with(f"checkpoint={dark_network}", "source=photos", "output=m")
    run_evaluate("predictions=m", "truth=m/mask", "output=e")
    with Path("e/per_photo.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["dice"]) == 1
