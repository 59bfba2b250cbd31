"""Fetching from a real server on this machine, through a program that stands in for Kaggle's."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeseg.data.humpback450 import masks_archive
from flukeseg.data.humpback450.download import fetch, main
from flukeseg.errors import InputError
from flukeseg.images.reading import photo_size, read_mask, read_photo

STEMS = ["0000e88ab", "0001f9222", "00050a15a", "0006e997e", "000a6daec"]
PROGRAM = [sys.executable, "-W", "error", "-m", "flukeseg.data.humpback450"]
TOKEN_HELP = (
    "Authentication required to call the Kaggle API.\n    Save the token to ~/.kaggle/access_token"
)
RULES_HELP = "403 Client Error: Forbidden for url: https://api.kaggle.com/v1/x"


def encoded(image: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def photo_bytes(seed: int, height: int = 20, width: int = 40) -> bytes:
    sea = np.random.default_rng(seed).integers(90, 160, (height, width, 3), np.uint8)
    return encoded(sea, "JPEG")


def mask_bytes(kind: str = "JPEG", height: int = 20, width: int = 40) -> bytes:
    mask = np.zeros((height, width), np.uint8)
    mask[5:15, 10:30] = 255
    return encoded(mask, kind)


def zipped(entries) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content)
    return stream.getvalue()


MASKS = {
    f"{stem}.{suffix}": mask_bytes(kind)
    for stem, suffix, kind in zip(
        STEMS,
        ["jpg", "jpg", "png", "JPG", "jpg"],
        ["JPEG", "JPEG", "PNG", "JPEG", "JPEG"],
        strict=True,
    )
}
JUNK = [
    ("masks/", b""),
    ("__MACOSX/masks/._0000e88ab.jpg", b"junk"),
    ("masks/.DS_Store", b"x"),
    ("readme.txt", b"x"),
]
ARCHIVE = zipped([*JUNK, *((f"masks/{name}", content) for name, content in MASKS.items())])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked += 1
        if server.answers:
            code, location = server.answers.pop(0)
            self.send_response(code)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.content)))
        self.end_headers()
        self.wfile.write(server.content[: server.cuts.pop(0)] if server.cuts else server.content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.asked = ARCHIVE, 0
        server.cuts, server.answers = [], []
        server.url = f"http://127.0.0.1:{server.server_port}/masks.zip"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


STAND_IN = """#!{python} -S
import os, shutil, sys, time
call = sys.argv[1:]
assert call[:4] == ["competitions", "download", "-c", "humpback-whale-identification"], call
assert call[4] == "-f" and call[6] == "-p" and call[8:] == ["-q"], call
name, folder, train = call[5], call[7], {train!r}
assert name.startswith("train/")
with open({log!r}, "a") as log:
    log.write(name + "\\n")
at = os.path.join(train, name[6:])
if os.path.exists(at + ".says"):
    print(open(at + ".says").read())
    if os.path.exists(at):
        open(os.path.join(folder, name[6:]), "wb").write(open(at, "rb").read()[:300])
    sys.exit(1)
if os.path.exists(at + ".slow"):
    open(os.path.join(folder, name[6:]), "wb").write(b"half")
    time.sleep(60)
if os.path.exists(at + ".zip"):
    shutil.copy(at + ".zip", folder)
elif os.path.exists(at):
    shutil.copy(at, folder)
else:
    sys.exit("404 Client Error: Not Found for url: https://api.kaggle.com/v1/x")
"""


class Kaggle:
    """A program called kaggle on PATH, and the photos that it has."""

    def __init__(self, folder):
        self.train, self.bin, self.log = folder / "train", folder / "bin", folder / "log"
        for made in (self.train, self.bin):
            made.mkdir(parents=True)
        self.log.touch()
        program = self.bin / "kaggle"
        program.write_text(
            STAND_IN.format(python=sys.executable, train=str(self.train), log=str(self.log))
        )
        program.chmod(0o755)
        for seed, stem in enumerate(STEMS):
            (self.train / f"{stem}.jpg").write_bytes(photo_bytes(seed))

    @property
    def calls(self):
        return sorted(self.log.read_text().split())


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    stand_in = Kaggle(tmp_path / "kaggle")
    monkeypatch.setenv("PATH", f"{stand_in.bin}{os.pathsep}{os.environ['PATH']}")
    return stand_in


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data" / "humpback450"


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


WHOLE = sorted(
    ["masks.zip", *(f"masks/{name}" for name in MASKS), *(f"images/{stem}.jpg" for stem in STEMS)]
)


def test_the_program_fetches_masks_and_their_photos_only(server, kaggle, root):
    (kaggle.train / "ffffffff0.jpg").write_bytes(photo_bytes(9))  # has no mask
    done = subprocess.run(
        [*PROGRAM, "--root", str(root), "--masks-url", server.url], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "5 photos with masks, 450 are expected" in done.stdout
    assert listing(root) == WHOLE
    assert not (root / ".partial").exists()
    for name, content in MASKS.items():
        assert (root / "masks" / name).read_bytes() == content
    for stem in STEMS:
        assert (root / "images" / f"{stem}.jpg").read_bytes() == (
            kaggle.train / f"{stem}.jpg"
        ).read_bytes()


def test_a_second_run_asks_for_nothing(server, kaggle, root):
    fetch(root, server.url)
    asked, calls = server.asked, kaggle.calls
    fetch(root, server.url)
    assert (server.asked, kaggle.calls) == (asked, calls)


def test_a_second_run_mends_what_was_damaged(server, kaggle, root):
    fetch(root, server.url)
    kaggle.log.write_text("")
    photo, mask = root / "images" / f"{STEMS[0]}.jpg", root / "masks" / f"{STEMS[1]}.jpg"
    photo.write_bytes(photo.read_bytes()[:200])
    mask.unlink()
    (root / "masks.zip").write_bytes(ARCHIVE[:-30])
    fetch(root, server.url)
    assert kaggle.calls == [f"train/{STEMS[0]}.jpg"]
    assert read_photo(photo).shape == (20, 40, 3)
    assert mask.read_bytes() == MASKS[mask.name]


def test_photos_that_come_zipped(server, kaggle, root):
    for stem in STEMS[:2]:
        photo = kaggle.train / f"{stem}.jpg"
        (kaggle.train / f"{stem}.jpg.zip").write_bytes(zipped([(photo.name, photo.read_bytes())]))
    fetch(root, server.url)
    assert listing(root) == WHOLE
    assert read_photo(root / "images" / f"{STEMS[0]}.jpg").shape == (20, 40, 3)


# The zip of masks


def test_a_connection_that_breaks_off_can_be_tried_again(server, kaggle, root):
    server.cuts = [700]
    with pytest.raises(InputError, match=r"not a valid zip .*run again"):
        fetch(root, server.url)
    assert listing(root) == []
    fetch(root, server.url)
    assert listing(root) == WHOLE


def test_a_redirect_is_followed(server, kaggle, root):
    server.answers = [(302, server.url)]
    fetch(root, server.url)
    assert listing(root) == WHOLE


@pytest.mark.parametrize("code", [403, 404, 503])
def test_an_address_without_masks(server, kaggle, root, code):
    server.answers = [(code, None)]
    with pytest.raises(InputError, match=f"{code} .*check the address"):
        fetch(root, server.url)
    assert listing(root) == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/masks.zip", "masks.zip", "http://", "http://[/x"]
)
def test_addresses_that_are_not_http(kaggle, root, url):
    with pytest.raises(InputError, match="not an http or https address"):
        fetch(root, url)


def test_a_redirect_off_http(server, kaggle, root):
    server.answers = [(302, "file:///etc/passwd")]
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch(root, server.url)


def test_nobody_answers(kaggle, root, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="check the network"):
        fetch(root, server.url)


@pytest.mark.parametrize(
    "content", [b"<html>gone</html>", b"", ARCHIVE[:-1], ARCHIVE.replace(b"PK\3\4", b"PK\3\5")]
)
def test_what_is_no_sound_zip(server, kaggle, root, content):
    server.content = content
    with pytest.raises(InputError, match="not a valid zip"):
        fetch(root, server.url)
    assert listing(root) == []


def link(name: str, target: str):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info, target


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jpg", "masks/../../evil.jpg", "/tmp/evil.jpg", "C:evil.jpg", "C:\\evil.jpg",
        "..\\evil.jpg", "\\\\host\\share\\evil.jpg", "masks/ev il.jpg", "masks/$(evil).jpg",
        f"again/{STEMS[0]}.png", f"{STEMS[0].upper()}.png",
    ],
)  # fmt: skip
def test_hostile_names_are_refused_whole(server, kaggle, root, name):
    server.content = zipped([*((f"masks/{n}", c) for n, c in MASKS.items()), (name, mask_bytes())])
    with pytest.raises(InputError, match="check the address"):
        fetch(root, server.url)
    assert listing(root) == []
    assert not list(root.parents[1].rglob("*evil*"))
    assert not Path("/tmp/evil.jpg").exists()


def test_links_in_the_zip_are_refused(server, kaggle, root):
    server.content = zipped(
        [(f"masks/{STEMS[0]}.jpg", mask_bytes()), link("masks/a.jpg", "/etc/passwd")]
    )
    with pytest.raises(InputError, match="leads elsewhere"):
        fetch(root, server.url)


def test_slashes_of_windows_are_fine(server, kaggle, root):
    server.content = zipped([(f"masks\\{name}", content) for name, content in MASKS.items()])
    fetch(root, server.url)
    assert [n for n in listing(root) if n != "masks.zip"] == [n for n in WHOLE if n != "masks.zip"]


def test_a_mask_named_like_the_whole_photo(server, kaggle, root):
    server.content = zipped([(f"{STEMS[0]}.jpg.png", mask_bytes("PNG"))])
    fetch(root, server.url)
    assert listing(root) == [f"images/{STEMS[0]}.jpg", "masks.zip", f"masks/{STEMS[0]}.png"]


def test_zip_bombs(server, kaggle, root, monkeypatch):
    monkeypatch.setattr(masks_archive, "_MAX_FILE_BYTES", 100_000)
    monkeypatch.setattr(masks_archive, "_MAX_TOTAL_BYTES", 300_000)
    monkeypatch.setattr(masks_archive, "_MAX_ENTRIES", 50)
    huge = zipped([("a.jpg", bytes(5_000_000))])
    many = zipped([(f"a{i}.jpg", b"") for i in range(51)])
    heavy = zipped([(f"a{i}.jpg", bytes(90_000)) for i in range(4)])
    for content in (huge, many, heavy, bytes(400_000)):
        server.content = content
        with pytest.raises(InputError, match="check the address"):
            fetch(root, server.url)
        assert listing(root) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_that_states_a_small_size_is_not_unpacked(server, kaggle, root, method):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        file.writestr("a.jpg", bytes(50_000_000))
    lying = bytearray(stream.getvalue())
    for signature, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        where = lying.index(signature) + at
        lying[where : where + 4] = (10).to_bytes(4, "little")
    server.content = bytes(lying)
    tracemalloc.start()
    with pytest.raises(InputError, match="check the address"):
        fetch(root, server.url)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@given(
    st.lists(
        st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255)), min_size=1, max_size=6
    )
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_zip_never_gives_a_damaged_mask(tmp_path, changes):
    damaged = bytearray(ARCHIVE)
    for at, value in changes:
        damaged[at] = value
    archive = tmp_path / "masks.zip"
    archive.write_bytes(damaged)
    try:
        contents = masks_archive._masks_in(archive, "masks.zip")
    except (InputError, zipfile.BadZipFile):
        return
    crcs = {zlib.crc32(content) for content in MASKS.values()}
    assert {zlib.crc32(content) for content in contents.values()} <= crcs | {0}


def test_masks_that_cannot_be_read_are_named(server, kaggle, root):
    ones = encoded(np.ones((20, 40), np.uint8), "PNG")
    server.content = zipped(
        [
            (f"{STEMS[0]}.jpg", b"no mask"),
            (f"{STEMS[1]}.png", ones),
            (f"{STEMS[2]}.png", mask_bytes("PNG")),
        ]
    )
    with pytest.raises(InputError, match="lacks 2 of its pairs") as caught:
        fetch(root, server.url)
    for name in (
        f"masks/{STEMS[0]}.jpg is not a photo",
        f"masks/{STEMS[1]}.png holds the values 0 and 1",
    ):
        assert f"{root}/{name}" in str(caught.value)
    assert ".partial" not in str(caught.value)
    assert listing(root) == [f"images/{STEMS[2]}.jpg", "masks.zip", f"masks/{STEMS[2]}.png"]


# The photos


def test_photos_that_fail_do_not_stop_the_others(server, kaggle, root, capsys):
    (kaggle.train / f"{STEMS[0]}.jpg").unlink()
    (kaggle.train / f"{STEMS[1]}.jpg.says").write_text("Downloading\nConnection reset by peer\n")
    (kaggle.train / f"{STEMS[2]}.jpg").write_bytes(b"<html>log in</html>")
    (kaggle.train / f"{STEMS[3]}.jpg.zip").write_bytes(b"PK\3\4 broken")
    with pytest.raises(SystemExit) as stopped:
        main(["--root", str(root), "--masks-url", server.url])
    told = capsys.readouterr()
    assert stopped.value.code == 1
    assert "1 photos with masks" in told.out
    assert told.err.startswith(f"error: {root} lacks 4 of its pairs; run again:")
    for stem, why in zip(
        STEMS, ["404", "reset by peer", "not a photo", "damaged zip"], strict=False
    ):
        assert re.search(rf"images/{stem}\.jpg .*{why}", told.err)
    assert "Traceback" not in told.err
    assert ".partial" not in told.err
    assert [n for n in listing(root) if n.startswith("images")] == [f"images/{STEMS[4]}.jpg"]

    (kaggle.train / f"{STEMS[3]}.jpg.zip").unlink()
    (kaggle.train / f"{STEMS[1]}.jpg.says").unlink()
    for seed, stem in enumerate(STEMS):
        (kaggle.train / f"{stem}.jpg").write_bytes(photo_bytes(seed))
    kaggle.log.write_text("")
    fetch(root, server.url)
    assert kaggle.calls == [f"train/{stem}.jpg" for stem in STEMS[:4]]
    assert listing(root) == WHOLE


def test_photos_of_another_size_than_their_masks_are_reported(server, kaggle, root):
    stems = [f"{number:09x}" for number in range(12)]
    server.content = zipped([(f"{stem}.jpg", mask_bytes()) for stem in stems])
    for stem in stems:
        (kaggle.train / f"{stem}.jpg").write_bytes(photo_bytes(0, 30, 60))
    with pytest.raises(InputError, match="lacks 12 of its pairs") as caught:
        fetch(root, server.url)
    for stem in stems:
        assert f"images/{stem}.jpg is 60 x 30, its mask 40 x 20" in str(caught.value)
        assert photo_size(root / "images" / f"{stem}.jpg") == (30, 60)


@pytest.mark.parametrize(
    ("says", "match"),
    [
        (TOKEN_HELP, "no valid token.*access_token"),
        ("OSError: Could not find kaggle.json. Make sure it's in ~/.kaggle.", "no valid token"),
        ("401 Client Error: Unauthorized for url: https://api.kaggle.com", "no valid token"),
        (RULES_HELP, "accept the rules at https://www.kaggle.com/competitions/humpback-whale-"),
        ("You must accept this competition's rules before downloading.", "accept the rules"),
    ],
)
def test_what_holds_for_every_photo_stops_at_once(server, kaggle, root, says, match, monkeypatch):
    many = {f"{number:09x}": mask_bytes() for number in range(40)}
    server.content = zipped([(f"{stem}.jpg", content) for stem, content in many.items()])
    for stem in many:
        (kaggle.train / f"{stem}.jpg.says").write_text(says)
    with pytest.raises(InputError, match=match) as caught:
        fetch(root, server.url)
    assert "\n" not in str(caught.value)
    assert len(kaggle.calls) < 20
    assert len(listing(root)) == 41  # masks are kept


def test_a_client_that_never_brings_anything_is_given_up(server, kaggle, root):
    server.content = zipped([(f"{number:09x}.jpg", mask_bytes()) for number in range(40)])
    (kaggle.bin / "kaggle").write_text(
        f"#!{sys.executable} -S\nraise ModuleNotFoundError(\"No module named 'six'\")\n"
    )
    with pytest.raises(InputError, match="No module named 'six'"):
        fetch(root, server.url)


def test_without_the_client(server, root, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(InputError, match=re.escape('pip install "flukeseg[kaggle]"')):
        fetch(root, server.url)


def test_the_client_beside_python_is_found(server, kaggle, root, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(kaggle.bin / "python"))
    fetch(root, server.url)
    assert listing(root) == WHOLE


def test_a_client_that_cannot_start(server, kaggle, root):
    with pytest.raises(InputError, match="cannot be started"):
        fetch(root, server.url, kaggle=[str(kaggle.bin / "none")])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk(server, kaggle, root):
    root.mkdir(parents=True)
    (root / "masks.zip.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"No space left on device.*make room"):
        fetch(root, server.url)


def test_a_root_that_is_a_file(server, kaggle, root):
    root.parent.mkdir()
    root.write_text("")
    with pytest.raises(InputError, match="cannot be filled"):
        fetch(root, server.url)


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_keeps_what_is_whole(server, kaggle, root, way):
    for stem in STEMS[3:]:
        (kaggle.train / f"{stem}.jpg.slow").touch()
    process = subprocess.Popen(
        [*PROGRAM, "--root", root, "--masks-url", server.url],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while len(list(root.glob("images/*"))) < 3 or len(list(root.glob(".partial/*/*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, way)  # as a terminal does
    told = process.communicate(timeout=30)[1]
    assert [n for n in listing(root) if n.startswith("images/")] == [
        f"images/{s}.jpg" for s in STEMS[:3]
    ]
    if way == signal.SIGINT:
        assert process.returncode == 130
        assert told.strip().splitlines()[-1] == "stopped; run again to go on from here"
    for stem in STEMS[3:]:
        (kaggle.train / f"{stem}.jpg.slow").unlink()
    kaggle.log.write_text("")
    fetch(root, server.url)
    assert listing(root) == WHOLE
    assert kaggle.calls == [f"train/{stem}.jpg" for stem in STEMS[3:]]
    assert read_mask(root / "masks" / f"{STEMS[0]}.jpg").sum() == 200
