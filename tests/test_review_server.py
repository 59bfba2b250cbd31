"""The review server without a browser: what is saved, what is refused, and what a kill leaves."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra `review`")
testclient = pytest.importorskip("fastapi.testclient", reason="needs httpx")

from conftest import write_pairs  # noqa: E402
from review_helpers import SIZES, predict_photos  # noqa: E402

from flukeseg.exchange.corrections import write_corrections  # noqa: E402
from flukeseg.masks.mask_settings import MaskSettings  # noqa: E402
from flukeseg.masks.review import Review  # noqa: E402
from flukeseg.prediction.folder import PredictionFolder  # noqa: E402
from flukeseg.prediction.kept_masks import hash_file  # noqa: E402
from flukeseg.prediction.settings import PredictionSettings  # noqa: E402
from flukeseg.review.edge_following import follow_edge  # noqa: E402
from flukeseg.review.learning import Learning  # noqa: E402
from flukeseg.review.looked_at import leave_out_copies, read_looked_at  # noqa: E402
from flukeseg.review.server import make_app  # noqa: E402
from flukeseg.review.session import ReviewSession  # noqa: E402
from flukeseg.review.zip_archive import zip_chunks  # noqa: E402

RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def predicted(tiny_runs, tmp_path_factory) -> Path:
    return predict_photos(tiny_runs[0], tmp_path_factory.mktemp("served"))


@pytest.fixture
def out(predicted, tmp_path) -> Path:
    shutil.copytree(predicted, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def client(out):
    with testclient.TestClient(make_app(ReviewSession(out)), base_url="http://127.0.0.1") as client:
        yield client


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def first(client) -> tuple[dict, str, np.ndarray]:
    """The first photo of the queue, its ETag and its mask, flat."""
    photo = client.get("/api/queue").json()["photos"][0]
    answer = client.get(f"/api/photos/{photo['id']}/mask")
    return photo, answer.headers["ETag"], np.frombuffer(answer.content, np.uint8)


def put(client, photo: dict, etag: str, mask=None, verdict: str = "right", who: str = "Ann"):
    return client.put(
        f"/api/photos/{photo['id']}",
        params={"verdict": verdict, "who": who},
        headers={"If-Match": etag, **RAW},
        content=b"" if mask is None else mask.tobytes(),
    )


def test_photo_and_mask_are_of_one_size_whatever_exif_says(client, out):
    for photo in client.get("/api/queue").json()["photos"]:
        image = client.get(f"/api/photos/{photo['id']}/photo.jpg").content
        image = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        mask = client.get(f"/api/photos/{photo['id']}/mask").content
        assert image.shape[:2] in SIZES
        assert np.array_equal(
            np.frombuffer(mask, np.uint8).reshape(image.shape[:2]),
            read(out / f"mask/{photo['name']}.png"),
        )


def test_the_second_of_two_saves_is_refused(client, out):
    photo, etag, mask = first(client)
    path = out / f"mask/{photo['name']}.png"
    assert put(client, photo, etag, 255 - mask).status_code == 200
    content = path.read_bytes()
    assert put(client, photo, etag, mask).status_code == 412
    assert put(client, photo, etag, None, "no_fluke").status_code == 412
    assert path.read_bytes() == content
    assert len((out / "review.csv").read_text().splitlines()) == 2


def test_a_mask_changed_by_another_program_is_not_saved_over(client, out):
    photo, etag, mask = first(client)
    path = out / f"mask/{photo['name']}.png"
    cv2.imwrite(str(path), 255 - read(path))
    assert put(client, photo, etag, mask).status_code == 412


def test_verdicts_say_who_when_and_what(client, out):
    photo, etag, mask = first(client)
    saved = put(client, photo, etag, None, "right", 'Ann "B", Müller')
    assert saved.json()["photo"]["verdict"] == "right"
    saved = put(client, photo, saved.headers["ETag"], 255 - mask)
    assert saved.json()["photo"]["verdict"] == "corrected"
    assert saved.json()["progress"] == {"total": 5, "looked_at": 1}
    verdicts = PredictionFolder(out).kept.verdicts.latest()
    assert verdicts[photo["name"]].who == "Ann"
    lines = (out / "review.csv").read_text().splitlines()
    assert lines[0] == "name,verdict,who,when,mask_sha256,path"
    assert '"Ann ""B"", Müller"' in lines[1]
    back = put(client, photo, saved.headers["ETag"], mask, "undone")
    assert back.headers["ETag"] == etag  # to the byte
    assert back.json()["progress"]["looked_at"] == 0


@pytest.mark.parametrize("body", [b"\0", b"\1" * (64 * 128), b"\0" * 100_000])
def test_what_is_no_mask_is_refused(client, out, body):
    photo, etag, _ = first(client)
    before = read(out / f"mask/{photo['name']}.png")
    answer = put(client, photo, etag, np.frombuffer(body, np.uint8))
    assert answer.status_code in (413, 422)
    assert isinstance(answer.json()["detail"], str)
    assert np.array_equal(read(out / f"mask/{photo['name']}.png"), before)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": "flukes.example"}, 400), ({"Origin": "http://flukes.example"}, 403)],
)
def test_pages_of_other_hosts_are_refused(client, headers, status):
    assert client.get("/api/queue", headers=headers).status_code == status


def test_nothing_is_loaded_from_elsewhere(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 404
    for path in (Path(make_app.__code__.co_filename).parent / "static").iterdir():
        assert "http://" not in path.read_text().replace("http://www.w3.org", "")
        assert "https://" not in path.read_text()


@pytest.mark.parametrize(
    "path", ["/api/photos/none/mask", "/../../etc/passwd", "/%2e%2e/%2e%2e/server.py", "/server.py"]
)
def test_nothing_but_the_page_and_the_folder_is_served(client, path):
    assert client.get(path).status_code == 404


def test_photos_are_added_under_their_own_name_only(client, out):
    content = (out.parent / "out/mask").parent  # the folder itself is never written outside
    answer = client.post("/api/added", params={"name": "../../evil.png"}, content=b"x", headers=RAW)
    assert answer.status_code == 200
    assert [p.relative_to(content).as_posix() for p in out.rglob("evil.png")] == ["added/evil.png"]
    assert not (out.parent / "evil.png").exists()
    for name, body in (("note.txt", b"x"), ("evil.png", b"y"), (".hidden.png", b"x")):
        answer = client.post("/api/added", params={"name": name}, content=body, headers=RAW)
        assert answer.status_code == 409
        assert name in answer.json()["detail"]


def test_a_photo_that_was_removed_is_said_so(client, out):
    photo, _, _ = first(client)
    row = next(r for r in PredictionFolder(out).rows() if r["name"] == photo["name"])
    moved = Path(row["key"]).rename(out / "moved")
    try:
        answer = client.get(f"/api/photos/{photo['id']}/photo.jpg")
        assert answer.status_code == 409
        assert row["key"] in answer.json()["detail"]
    finally:
        moved.rename(row["key"])


def test_a_download_holds_masks_as_they_are_now(client, out):
    photo, etag, _ = first(client)
    size = read(out / f"mask/{photo['name']}.png").shape
    square = np.zeros(size, np.uint8)
    square[10:20, 5:25] = 255
    put(client, photo, etag, square)
    archive = zipfile.ZipFile(io.BytesIO(client.get("/api/download.zip").content))
    assert archive.testzip() is None
    assert {"predictions.csv", "review.csv", "index.html"} <= set(archive.namelist())
    png = np.frombuffer(archive.read(f"mask/{photo['name']}.png"), np.uint8)
    assert np.array_equal(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), square)
    png = np.frombuffer(archive.read(f"cutout/{photo['name']}.png"), np.uint8)
    assert cv2.imdecode(png, cv2.IMREAD_UNCHANGED).shape == (10, 20, 4)
    assert b",corrected," in archive.read("predictions.csv")


def test_crops_of_a_download_have_the_folders_margin(out):
    settings = json.loads((out / ".flukeseg/settings.json").read_text())
    (out / ".flukeseg/settings.json").write_text(json.dumps(settings | {"crop_margin": 0.5}))
    name = next(iter(PredictionFolder(out).rows()))["name"]
    square = np.zeros(read(out / f"mask/{name}.png").shape, np.uint8)
    square[10:20, 5:25] = 255
    cv2.imwrite(str(out / f"mask/{name}.png"), square)
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zip_chunks(PredictionFolder(out)))))
    png = np.frombuffer(archive.read(f"crop/{name}.png"), np.uint8)
    assert cv2.imdecode(png, cv2.IMREAD_UNCHANGED).shape[:2] == (20, 35)


def test_pairs_hold_what_was_corrected_and_approved(client, out, tmp_path):
    photos = client.get("/api/queue").json()["photos"]
    truths = {}
    for photo, verdict in zip(photos[:3], ("right", "no_fluke", "changed"), strict=True):
        answer = client.get(f"/api/photos/{photo['id']}/mask")
        mask = np.frombuffer(answer.content, np.uint8)
        new = {"right": None, "no_fluke": np.zeros_like(mask), "changed": 255 - mask}[verdict]
        sent = "no_fluke" if verdict == "no_fluke" else "right"
        assert put(client, photo, answer.headers["ETag"], new, sent).status_code == 200
        truths[photo["name"].replace("/", "__")] = mask if new is None else new
    path = out / f"mask/{photos[3]['name']}.png"  # by another program, without a verdict
    cv2.imwrite(str(path), 255 - read(path))
    truths[photos[3]["name"].replace("/", "__")] = read(path).ravel()
    write_corrections(tmp_path / "pairs", read_looked_at(out))
    found = {p.stem: read(p).ravel() for p in (tmp_path / "pairs/masks").iterdir()}
    assert found.keys() == truths.keys()
    assert all(np.array_equal(found[stem], truths[stem]) for stem in truths)
    assert {p.stem for p in (tmp_path / "pairs/images").iterdir()} == truths.keys()


def test_shots_of_a_burst_are_not_trained_on_where_one_is_held_out(tmp_path):
    stems = write_pairs(tmp_path, 4)
    image, mask = (next((tmp_path / k).glob(f"{stems[1]}.*")) for k in ("images", "masks"))
    for path in (image, mask):
        shutil.copy(path, path.with_stem("next"))
    leave_out_copies(tmp_path, [stems[1]])
    left = sorted(path.stem for path in (tmp_path / "images").iterdir())
    assert left == sorted(stems) == sorted(p.stem for p in (tmp_path / "masks").iterdir())


def test_learning_starts_with_enough_only(client, out):
    assert "so far it is 0" in client.get("/api/learning").json()["sentence"]
    answer = client.post("/api/learning")
    assert answer.status_code == 409
    assert "Look at 5 photos" in answer.json()["detail"]


def test_predictions_of_learning_keep_the_folders_settings(out):
    options = Learning(out, []).settings()
    settings = json.loads((out / ".flukeseg/settings.json").read_text())
    assert f"threshold={settings['threshold']}" in options
    assert "size=null" in options
    assert f"cleaning.island_share={settings['cleaning']['island_share']}" in options
    assert not any(option.startswith(("checkpoint", "generation")) for option in options)


def test_a_folder_without_the_limit_of_confidence_goes_on_without_it(out):
    path = out / ".flukeseg/settings.json"
    settings = json.loads(path.read_text())
    assert settings["review"].pop("unsure") == 0.94
    path.write_text(json.dumps(settings))
    assert "review.unsure=0" in Learning(out, []).settings()
    masks = MaskSettings(review=Review(unsure=0))
    assert PredictionSettings(masks=masks).recorded()["review"] == settings["review"]


SAVE = """
import resource, sys
from pathlib import Path
import numpy as np
from flukeseg.errors import InputError
from flukeseg.images.reading import read_mask
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.kept_masks import hash_file, mask_name
from flukeseg.review.saving import MaskStore

folder = Path(sys.argv[1])
store = MaskStore(folder)
row = next(iter(PredictionFolder(folder).rows()))
path = folder / mask_name(row["name"])
masks = [np.zeros((row["height"], row["width"]), np.uint8) for _ in range(2)]
masks[0][2:9, 2:9] = masks[1][5:20, 1:30] = 255
"""


def test_killed_while_saving_nothing_is_lost(out):
    program = SAVE + "print('ready', flush=True)\n"
    program += "for i in range(10**9): store.save(row, hash_file(path), masks[i % 2], 'right', 'A')"
    row = next(iter(PredictionFolder(out).rows()))
    masks = [np.zeros((row["height"], row["width"]), np.uint8) for _ in range(2)]
    masks[0][2:9, 2:9] = masks[1][5:20, 1:30] = 255
    for wait in (0.11, 0.23, 0.37):
        command = [sys.executable, "-c", program, str(out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(wait)
            os.kill(process.pid, signal.SIGKILL)
        mask = read(out / row["mask"])
        assert any(np.array_equal(mask, one) for one in masks)
        assert PredictionFolder(out).kept.verdicts.latest()[row["name"]].verdict == "corrected"
        assert (out / f".flukeseg/originals/{row['name']}.png").stat().st_size > 0


def test_a_full_disk_is_one_sentence_and_loses_nothing(out):
    # no file may grow beyond a few bytes: to the program that is a disk without room
    program = (
        SAVE
        + """
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    store.save(row, hash_file(path), masks[0], "right", "A")
except InputError as error:
    print(error)
"""
    )
    row = next(iter(PredictionFolder(out).rows()))
    content = (out / row["mask"]).read_bytes()
    command = [sys.executable, "-c", program, str(out)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "cannot be written" in said
    assert "make room" in said
    assert (out / row["mask"]).read_bytes() == content
    assert not list(out.rglob("*.partial"))


def test_a_click_for_more_takes_the_region_up_to_its_edge():
    random = np.random.default_rng(0)
    photo = random.normal((40, 90, 140), 6, (80, 100, 3))
    photo[20:60, 20:80] = random.normal((190, 180, 170), 6, (40, 60, 3))
    photo = photo.clip(0, 255).astype(np.uint8)
    truth = np.zeros((80, 100), np.uint8)
    truth[20:60, 20:80] = 255
    half = truth.copy()
    half[:, 50:] = 0
    assert (follow_edge(photo, half, (65, 40), 4, True) != truth).mean() < 0.01
    too_much = truth.copy()
    too_much[20:60, 80:88] = 255
    assert (follow_edge(photo, too_much, (84, 40), 4, False) != truth).mean() < 0.01


def test_learning_trains_compares_and_predicts_the_others_again(tiny_runs, out):
    tiny = ["model.encoder=test_resnet", f"model.start_from={tiny_runs[0]}", "data.size=[32,64]",
            "data.train_count=4", "data.batch_size=2", "data.num_workers=0",
            "trainer.max_epochs=1", "trainer.accelerator=cpu"]  # fmt: skip
    session = ReviewSession(out, train_options=tiny)
    rows = list(PredictionFolder(out).rows())
    for row in rows:
        before = read(out / row["mask"])
        changed = before.copy()
        changed[2:12, 3:15] = 255 - changed[2:12, 3:15]
        digest = hash_file(out / row["mask"])
        session.store.save(row, digest, changed, "right", "Ann")
    masks = {row["name"]: read(out / row["mask"]) for row in rows}
    session.learn()
    deadline = time.monotonic() + 500
    while session.work.is_running:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    status = session.work.status()
    trained = (
        "new network has a Dice" in status["problem"] or "it was not trained on" in status["result"]
    )
    assert trained, status
    assert all(np.array_equal(read(out / row["mask"]), masks[row["name"]]) for row in rows)
