import os
from pathlib import Path, PurePosixPath

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from flukeseg.command_line import quote_text
from flukeseg.errors import InputError
from flukeseg.prediction.inputs import find_inputs, name_inputs

quick = settings(max_examples=150)


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder with photos at several depths and much that is none."""
    root = tmp_path / "photos"
    fill(root, "b.JPG", "a.png", "deep/er/c.Heic", "deep/d.tif", "folder.jpg/e.jpg")
    fill(root, "notes.txt", "jpg", "f.jpg.part", ".hidden.jpg", "._b.JPG", ".folder/g.jpg")
    return root


ALL = ["a.png", "b.JPG", "deep/d.tif", "deep/er/c.Heic", "folder.jpg/e.jpg"]


def found(source, **options) -> list[str]:
    """List what a source stands for, relative to its folder."""
    folder = source if source.is_dir() else source.parent
    return [os.path.relpath(path, folder) for path in find_inputs(source, **options)]


# Folders, globs and single photos


def test_a_folder_is_searched_to_its_end(photos, monkeypatch):
    assert found(photos) == ALL
    monkeypatch.chdir(photos)
    assert find_inputs("deep") == ["deep/d.tif", "deep/er/c.Heic"]  # as they were given
    assert find_inputs(".") == [f"./{name}" for name in ALL]


def test_one_photo_is_a_source_whatever_its_name(photos):
    for name in ("a.png", ".hidden.jpg", "jpg"):
        assert find_inputs(photos / name) == [str(photos / name)]


@pytest.mark.parametrize("pattern", ["", "**/*.png"])
def test_the_output_is_left_out(photos, pattern):
    """Or its masks were taken for photos when a run goes on."""
    fill(photos, "out/mask/a.png", "out/deep/mask/h.png", "outside/k.png")
    fill(photos, "out/.flukeseg/settings.json")
    pattern = pattern or "."
    inside = find_inputs(f"{photos}/{pattern}", leave_out=photos / "deep/.." / "out")
    names = [Path(path).relative_to(photos).as_posix() for path in inside]
    assert not [name for name in names if name.startswith("out/")]
    assert {"a.png", "outside/k.png"} <= set(names)


@pytest.mark.parametrize("pattern", ["", "**/*.tif"])
def test_an_output_with_photos_is_refused(photos, pattern):
    """Or they were left out without a word."""
    with pytest.raises(InputError, match=r"deep has photos in it \(2, say .*d\.tif\)"):
        find_inputs(f"{photos}/{pattern}", leave_out=photos / "deep")
    fill(photos, "deep/round-1/teacher/.flukeseg/settings.json")  # of selftrain, which goes on
    assert str(photos / "a.png") in find_inputs(photos, leave_out=photos / "deep")
    assert find_inputs(f"{photos}/*.png", leave_out=photos / "elsewhere") == [f"{photos}/a.png"]


@pytest.mark.parametrize("file", ["settings.json", "journal-1-of-2.jsonl"])
@pytest.mark.parametrize("pattern", ["", "**/*"])
def test_earlier_predictions_in_it_are_left_out(photos, pattern, file, caplog):
    before = find_inputs(f"{photos}/{pattern}")
    mask = photos / "deep/masks/mask/0.png"
    mask.parent.mkdir(parents=True)
    mask.touch()
    assert len(find_inputs(f"{photos}/{pattern}")) == len(before) + 1
    (photos / "deep/masks/.flukeseg").mkdir()  # of a prediction that was refused
    assert len(find_inputs(f"{photos}/{pattern}")) == len(before) + 1
    (photos / f"deep/masks/.flukeseg/{file}").touch()
    with caplog.at_level("INFO"):
        assert find_inputs(f"{photos}/{pattern}") == before
    assert "predictions and what was made of them (1)" in caplog.text
    assert find_inputs(f"{mask.parent}/{pattern}") == [str(mask)]  # where it is asked for


def test_links_to_files_are_followed_and_links_to_folders_are_not(photos, tmp_path):
    fill(tmp_path, "elsewhere/one.jpg")
    (photos / "link.jpg").symlink_to(tmp_path / "elsewhere/one.jpg")
    (photos / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "linked.jpg").symlink_to(tmp_path / "elsewhere")
    (photos / "deep/round").symlink_to(photos)
    # what is broken is kept, to be told of in the table
    assert found(photos) == sorted([*ALL, "link.jpg", "broken.jpg"])
    assert find_inputs(photos / "broken.jpg") == [str(photos / "broken.jpg")]


def test_globs(photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert find_inputs("*.[pJ][nP]*") == ["a.png", "b.JPG"]
    assert find_inputs("f*.jpg*") == ["f.jpg.part"]  # as asked for; folder.jpg is a folder
    assert find_inputs("**/*.tif") == ["deep/d.tif"]
    fill(photos, "[1]/x.jpg")
    assert find_inputs("[1]") == ["[1]/x.jpg"]  # a folder of that name comes first


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty", "*.gif", "empty.txt", "empty.csv", pytest.param("x" * 300, id="long")],
)
def test_nothing_to_predict_on_is_told_by_name(tmp_path, kind):
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "empty", "notes.txt", ".hidden.jpg")
    (tmp_path / "empty.txt").write_text("\n  \n")
    (tmp_path / "empty.csv").write_text("path\n\n")
    with pytest.raises(InputError) as caught:
        find_inputs(tmp_path / kind)
    assert str(caught.value).startswith(f"source={tmp_path / kind} ")
    assert "\n" not in str(caught.value)


# Lists


def test_a_list_of_lines(photos, monkeypatch, tmp_path):
    fill(tmp_path, "here.jpg")
    monkeypatch.chdir(tmp_path)
    listed = photos / "list.txt"
    lines = ["a.png", "", "  ", f"{photos}/b.JPG", "here.jpg", "a.png", "./a.png", "gone.jpg"]
    listed.write_text("\ufeff" + "\r\n".join(lines), "utf-8")
    # beside the list, from here, and nowhere: the table will tell
    expected = [str(photos / "a.png"), str(photos / "b.JPG"), "gone.jpg", "here.jpg"]
    assert find_inputs(listed) == expected


def test_a_list_of_rows(photos):
    listed = photos / "list.CSV"
    listed.write_text('\ufeffwho,path\n1,a.png\n2,"deep/d.tif"\n3,\n4\n\n5,a.png\n', "utf-8")
    assert found(listed) == ["a.png", "deep/d.tif"]


@pytest.mark.parametrize("separator", ";\t")
def test_a_list_of_rows_where_a_comma_is_in_numbers(photos, separator):
    """So German and French spreadsheets save it."""
    rows = [("path", "share"), ("a.png", "0,5"), ("deep/d.tif", "1,5")]
    (photos / "list.csv").write_text("\n".join(map(separator.join, rows)))
    assert found(photos / "list.csv") == ["a.png", "deep/d.tif"]


@pytest.mark.parametrize("content", [b"", b"a.png\n", b"file;way\nx;a.png\n", b"\xff\xfep\0a\0"])
def test_rows_without_a_column_path(photos, content):
    (photos / "list.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"list\.csv has no column `path`"):
        find_inputs(photos / "list.csv")


def test_lines_that_no_system_takes_for_a_path_are_kept(photos):
    """They are for the table, as a missing file is."""
    lines = ["x" * 5000 + ".jpg", "zero\0.jpg", "a.png"]
    (photos / "list.txt").write_text("\n".join(lines))
    assert len(find_inputs(photos / "list.txt")) == 3


def test_names_in_a_list_are_only_bytes(photos):
    name = os.fsdecode(b"caf\xe9.jpg")
    fill(photos, name)
    (photos / "list.txt").write_bytes(b"caf\xe9.jpg\n")
    assert find_inputs(photos / "list.txt") == [str(photos / name)]


# Names


def names_of(*paths: str, known: dict[str, str] | None = None) -> list[str]:
    return [source.name for source in name_inputs([f"/photos/{p}" for p in paths], known)]


def test_names_are_relative_and_without_suffix():
    assert names_of("a.jpg", "b.c.png", "deep/a.jpg") == ["a", "b.c", "deep/a"]
    assert names_of("deep/er/a.jpg", "deep/er/b.jpg") == ["a", "b"]
    assert names_of("deep/a.jpg") == ["a"]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.jpg", "a.png", "b.jpg"], ["a.jpg", "a.png", "b"]),
        (["a.jpg", "A.JPG"], ["a.jpg", "A.JPG~2"]),
        (["a.jpg", "A.png", "a.PNG"], ["a.jpg", "A.png", "a.PNG~2"]),
        (["a.jpg", "a.jpg.jpg"], ["a", "a.jpg"]),
        (["d/a.jpg", "D/a.jpg"], ["d/a.jpg", "D/a.jpg~2"]),
        (["x.jpg", "x.fluke2.jpg", "X.FLUKE13.png"], ["x", "x.fluke2.jpg", "X.FLUKE13.png"]),
        (["a.png", "a.jpg", "a.jpg.tif"], ["a.png", "a.jpg", "a.jpg.tif"]),
        (["-x.jpg", " .jpg", "é.jpg"], ["-x", " ", "é"]),
    ],
)
def test_names_unlike_any_others(paths, names):
    assert names_of(*paths) == names


def test_names_that_were_given_stay():
    known = {"/photos/a.png": "a", "/photos/gone.jpg": "b"}
    assert names_of("a.jpg", "a.png", "B.jpg", known=known) == ["a.jpg", "a", "B.jpg"]
    assert names_of("c.jpg", known=known) == ["c"]


def test_a_products_file_is_no_folder_for_others():
    """Of x.png comes overlay/x.jpg, which cannot be the folder of another overlay as well."""
    names = names_of("x.png", "x.jpg/inside.png", "y.jpg", "Y.PNG/inside.jpg")
    assert_no_file_is_a_folder(names)


def assert_no_file_is_a_folder(names: list[str]) -> None:
    files = {f"{name}.{suffix}".casefold() for name in names for suffix in ("png", "jpg")}
    folders = {str(parent).casefold() for name in names for parent in PurePosixPath(name).parents}
    assert not files & folders


def test_a_long_name_leaves_room_for_what_is_added():
    """File systems take 255 bytes, and a second fluke adds `.fluke2.png`."""
    stem = "é" * 125
    for name in names_of(f"{stem}.jpg", f"{stem}.png", f"{'x' * 251}.jpg"):
        assert len(f"{name}.fluke2.png".encode()) <= 255


PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
WORDS = st.sampled_from(
    ["a", "A", "a.jpg", "a.JPG", "a.png", "a.fluke2.png", "b", "ß.jpg", "SS.jpg"]
)
ODD = st.sampled_from(["...jpg", "..jpg", ".jpg", ". .jpg", "~.jpg", "a.jpg~2", "a.jpg~2.png", " "])
PATHS = st.lists(PARTS | WORDS | ODD, min_size=1, max_size=3).map("/".join)


@given(st.lists(PATHS, min_size=1, max_size=8, unique_by=lambda p: os.path.normpath(f"/{p}")))
@quick
@example(["b.jpg", "...jpg"])
@example(["b.jpg", "d/...jpg"])
def test_whatever_the_files_names_are_distinct_and_inside(paths):
    assume(not any({".", ".."} & set(path.split("/")) for path in paths))
    names = names_of(*paths)
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert name
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        inside = os.path.normpath(f"/output/mask/{name}.png")
        assert inside == f"/output/mask/{name}.png"


@given(st.lists(PATHS, min_size=2, max_size=8, unique_by=lambda p: os.path.normpath(f"/{p}")))
@quick
def test_names_stay_when_photos_join(paths):
    assume(not any({".", ".."} & set(path.split("/")) for path in paths))
    half = [f"/photos/{path}" for path in paths[: len(paths) // 2]]
    known = {source.key: source.name for source in name_inputs(half)}
    named = name_inputs([f"/photos/{path}" for path in paths], known)
    assert len({source.name.casefold() for source in named}) == len(named)
    assert {source.key: source.name for source in named if source.key in known} == known


# Paths as options

OPTIONS = OverridesParser.create()


def as_hydra_reads(argument: str) -> str:
    override = OPTIONS.parse_override(quote_text(argument, "predict"))
    return OmegaConf.create({"value": override.value()}).value


@given(st.text(min_size=1))
@quick
@example("epoch=011-dice=0.7351.ckpt")
@example("it's \\'here\\' \\")
@example("a, b (1) {c} é 鯨 #4: 50 %")
@example(" ")
@example("2024")
@example("\udcff")
def test_a_path_comes_through_as_it_is(path):
    # quotes and brackets are of one's own quoting, ${} is Hydra's
    assume(path[0] not in "'\"[" and "${" not in path and path not in ("null", "???"))
    for key in ("source", "+data.root"):
        assert as_hydra_reads(f"{key}={path}") == path


@pytest.mark.parametrize(
    "value", ["epoch=011-dice=0.7351.ckpt", "photos (1)/é #4", "a/b,c", "[old] photos", "~/photos"]
)
def test_what_hydra_cannot_read_is_text_for_every_option(value):
    assert as_hydra_reads(f"checkpoint={value}") == value


@pytest.mark.parametrize(
    "argument",
    ["source=", "source=null", "source=???", "source='a b'", 'source="a"', "checkpoint=[a,b]",
     "threshold=0.5", "name=a,b", "seed=3", "data.fold=null", "checkpoint=${x}", "source", "-m"],
)  # fmt: skip
def test_what_is_no_bare_path_is_left_alone(argument):
    assert quote_text(argument, "predict") == argument
