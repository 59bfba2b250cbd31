"""Masks over HTTP: what is answered, and what is refused."""

from __future__ import annotations

import base64
import http.server
import io
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import frame_with_a_small_fluke, write_rgb
from hydra import compose, initialize_config_dir
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra `review`")
testclient = pytest.importorskip("fastapi.testclient", reason="needs httpx")

import uvicorn  # noqa: E402
from fastapi import HTTPException  # noqa: E402

from flukeseg import serve  # noqa: E402
from flukeseg.errors import InputError  # noqa: E402
from flukeseg.installation import CONF  # noqa: E402
from flukeseg.rendering import render  # noqa: E402
from flukeseg.serving import http_server, url_fetch  # noqa: E402
from flukeseg.serving.batching import Batcher  # noqa: E402

PHOTO = render((5, 1), (64, 128)).image
TOKEN = "a secret of many letters"


def configure(checkpoint: Path, *options: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("serve", [f"checkpoint={checkpoint}", "runtime=torch", *options])


@contextmanager
def serving(checkpoint: Path, *options: str):
    app = serve.make_app(configure(checkpoint, "device=cpu", *options))
    with testclient.TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder of photos, with links that lead out of it and nowhere."""
    root = tmp_path_factory.mktemp("served")
    write_rgb(root / "photos/fluke.png", PHOTO)
    write_rgb(root / "secret.png", PHOTO)
    write_rgb(root / "photos-of-others/fluke.png", PHOTO)
    (root / "photos/note.jpg").write_text("no photo")
    (root / "photos/out.png").symlink_to(root / "secret.png")
    (root / "photos/loop.png").symlink_to(root / "photos/loop.png")
    (root / "photos/in.png").symlink_to(root / "photos/fluke.png")
    os.mkfifo(root / "photos/pipe.png")
    return root


@pytest.fixture(scope="module")
def client(tiny_runs, folder):
    with serving(
        tiny_runs[0], f"photo_folders=[{folder}/photos]", "max_bytes=50000", "max_pixels=20000"
    ) as client:
        yield client


def data_uri(image: np.ndarray) -> str:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def ask(client, uri: str, **params):
    wanted = {"model_id": "flukeseg", "image_uri": uri}
    return client.post("/predict/", json=wanted | ({"model_params": params} if params else {}))


def test_an_answer_is_what_the_segmenter_finds(client, tiny_runs, folder):
    from flukeseg import Segmenter

    expected = Segmenter.from_checkpoint(tiny_runs[0], runtime="torch")(PHOTO)
    assert expected.areas
    answer = ask(client, data_uri(PHOTO), masks="rle").json()
    assert answer["model_id"] == "flukeseg"
    assert answer["bboxes"] == [list(box) for box in expected.boxes]
    assert answer["class_names"] == ["fluke"] * len(expected.areas)
    assert answer["thetas"] == answer["class_ids"] == [0] * len(expected.areas)
    assert answer["reasons"] == list(expected.reasons)
    if len(expected.areas) == 1:
        assert answer["scores"] == pytest.approx([expected.confidence])
    for index, mask in enumerate(answer["masks"]):
        assert mask["size"] == [64, 128]
        values = np.repeat(np.arange(len(mask["counts"])) % 2, mask["counts"])
        assert np.array_equal(values.reshape(128, 64).T, expected.fluke(index))
    assert ask(client, str(folder / "photos/in.png"), masks="rle").json() == answer
    for index, text in enumerate(ask(client, data_uri(PHOTO), masks="png").json()["masks"]):
        png = np.frombuffer(base64.b64decode(text), np.uint8)
        decoded = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
        assert np.array_equal(decoded, expected.fluke(index) * 255)
    assert "masks" not in ask(client, data_uri(PHOTO)).json()
    assert ask(client, data_uri(PHOTO), conf=1).json()["bboxes"] == []


def test_a_fluke_that_is_small_in_the_frame_is_looked_at_again(dark_network, folder):
    """Masks over HTTP are those of files, from a file and from a request alike."""
    from flukeseg import Segmenter

    photo = frame_with_a_small_fluke(3)
    path = folder / "photos/wide.png"
    write_rgb(path, photo)
    found = []
    for look in ("auto", "once"):
        segmenter = Segmenter.from_checkpoint(dark_network, look=look, size=(64, 128))
        expected = segmenter(photo)
        options = f"photo_folders=[{folder}/photos]", f"look={look}", "size=[64,128]"
        with serving(dark_network, *options) as client:
            answers = [ask(client, uri, masks="rle").json() for uri in (str(path), data_uri(photo))]
        assert answers[0] == answers[1]
        assert expected.boxes
        assert answers[0]["bboxes"] == [list(box) for box in expected.boxes]
        found.append(answers[0]["masks"])
    assert found[0] != found[1]


def test_boxes_are_those_of_the_upright_photo(client, folder):
    exif = Image.Exif()
    exif[274] = 6  # turn right by 90 degrees to see it upright
    path = folder / "photos/lying.png"
    Image.fromarray(np.ascontiguousarray(np.rot90(PHOTO))).save(path, exif=exif)
    answer, upright = (ask(client, uri, masks="rle").json() for uri in (str(path), data_uri(PHOTO)))
    assert answer == upright


REFUSED = {
    "data:image/png;base64,!!!": 400,
    "data:image/png;base64,": 400,
    "data:image/png,abc": 422,
    f"data:image/png;base64,{base64.b64encode(b'no photo at all').decode()}": 400,
    "{root}/photos/missing.png": 404,
    "{root}/photos": 404,
    "{root}/photos/pipe.png": 404,
    "{root}/photos/note.jpg": 400,
    "{root}/photos/loop.png": 400,
    "{root}/photos/out.png": 403,
    "{root}/secret.png": 403,
    "{root}/photos/../secret.png": 403,
    "{root}/photos-of-others/fluke.png": 403,
    "{root}/photos/%2e%2e/secret.png": 404,
    "{root}/photos/" + "x" * 5000: 400,
    "{root}/photos/\0.png": 400,
    "/etc/passwd": 403,
    "/proc/self/environ": 403,
    "photos/fluke.png": 422,
    "file:///etc/passwd": 422,
    "ftp://127.0.0.1/fluke.png": 422,
    "": 422,
    "http://127.0.0.1/fluke.png": 403,
    "http://169.254.169.254/latest/meta-data": 403,
    "https://user@photos.example/fluke.png": 400,
    "http://[::1/": 400,
    "http:///fluke.png": 400,
}


@pytest.mark.parametrize(("uri", "status"), REFUSED.items(), ids=[u[:40] for u in REFUSED])
def test_a_photo_that_is_not_there_or_not_allowed(client, folder, uri, status):
    answer = ask(client, uri.format(root=folder) if "{root}" in uri else uri)
    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], str)
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("wanted", "status", "said"),
    [
        ({"model_id": "another"}, 404, "only flukeseg"),
        ({"image_uri": None}, 422, "image_uri"),
        ({"model_params": {"imgsz": 640}}, 422, "model_params.imgsz"),
        ({"model_params": {"conf": 2}}, 422, "model_params.conf"),
        ({"model_params": {"masks": "tiff"}}, 422, "model_params.masks"),
        ({"other": 1}, 422, "other"),
    ],
)
def test_a_request_that_is_not_as_described(client, wanted, status, said):
    answer = client.post(
        "/predict/", json={"model_id": "flukeseg", "image_uri": data_uri(PHOTO)} | wanted
    )
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[" * 2000, b'{"model_id": NaN}'])
def test_a_body_that_is_no_json(client, content):
    answer = client.post("/predict/", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert isinstance(answer.json()["detail"], str)


def test_huge_uploads_and_photos(client):
    assert ask(client, "data:image/png;base64," + "A" * 60_000).status_code == 413
    answer = client.post("/predict/", content=(b"x" * 10_000 for _ in range(9)))  # no length given
    assert answer.status_code == 413
    # a small file of many pixels, and one that only claims to have them
    bomb = ask(client, data_uri(np.zeros((200, 200, 3), np.uint8)))
    assert bomb.status_code == 400
    assert "more than the limit of 20,000" in bomb.json()["detail"]
    content = bytearray(base64.b64decode(data_uri(PHOTO).partition(",")[2]))
    content[16:20] = (30_000).to_bytes(4, "big")
    false = ask(client, f"data:image/png;base64,{base64.b64encode(content).decode()}")
    assert false.status_code == 400
    cut = base64.b64encode(content[:300]).decode()
    assert ask(client, f"data:image/png;base64,{cut}").status_code == 400


def test_pages_of_other_sites_and_other_names_of_the_machine(client):
    assert client.get("/health", headers={"Origin": "http://flukes.example"}).status_code == 403
    assert client.get("/health", headers={"Host": "flukes.example"}).status_code == 400
    answer = client.get("/health").json()
    assert (answer["status"], answer["size"], answer["runtime"]) == ("ok", [32, 64], "torch")
    assert client.get("/docs").status_code == 404
    assert client.get("/predict/").status_code == 405


def test_a_token(tiny_runs):
    with serving(tiny_runs[0], f"token='{TOKEN}'") as client:
        uri = data_uri(PHOTO)
        assert ask(client, uri).status_code == 401
        for header in ("Bearer wrong", f"Bearer {TOKEN}x", TOKEN, "Bearer é"):
            sent = {"Authorization": header.encode()}
            answer = client.post("/predict/", json={"image_uri": uri}, headers=sent)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert ask(client, uri).status_code == 200
        del client.headers["Authorization"]
        assert client.get("/health").status_code == 200
        assert client.get("/openapi.json").json()["components"]["securitySchemes"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["host=0.0.0.0", "port=0"], "set FLUKESEG_TOKEN"),
        (["port=0", "token=short"], "at least 16 characters"),
        (["host=192.0.2.1"], "host=192.0.2.1 is no address of this machine"),
        (["host=nowhere.invalid"], "host=nowhere.invalid is no address"),
        (["port=0", "photo_folders=[/none]"], "/none is no folder"),
        (["port=0", "seconds=-1"], "seconds=-1 must be"),
        (["port=0", "device=abacus"], "device=abacus"),
    ],
)
def test_what_cannot_be_served(tiny_runs, options, said):
    with pytest.raises(InputError, match=said):
        serve.serve(configure(tiny_runs[0], *options))


def test_a_port_that_is_taken():
    with http_server.listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=f"port={port} is taken"):
            http_server.listen("127.0.0.1", port)


def test_photos_that_wait_are_computed_together():
    sizes: list[int] = []
    may_go = threading.Event()

    def compute(photos: list[int]) -> list[int]:
        may_go.wait(10)
        sizes.append(len(photos))
        if max(photos) == 9:
            raise MemoryError("too large")
        return photos

    batcher = Batcher(compute, 4)
    first = batcher.submit(0)
    while batcher._queue.qsize():
        time.sleep(0.001)
    others = [batcher.submit(photo) for photo in range(1, 8)]
    others[1].cancel()
    may_go.set()
    assert [first.result(5), *(o.result(5) for o in others if not o.cancelled())] == [
        0, 1, 3, 4, 5, 6, 7
    ]  # fmt: skip
    assert sizes == [1, 3, 3]
    with pytest.raises(MemoryError):
        batcher.submit(9).result(5)
    assert batcher.submit(2).result(5) == 2
    batcher.close()
    assert not batcher.is_alive


def slow(client, seconds: float) -> None:
    """Make every batch of a client's service take so long."""
    batcher = client.app.app.state.service.batcher
    fast = batcher.compute

    def compute(photos):
        time.sleep(seconds)
        return fast(photos)

    batcher.compute = compute


def test_a_full_queue_is_said_so_and_what_takes_too_long(tiny_runs):
    uri = data_uri(PHOTO)
    with serving(tiny_runs[0], "max_requests=2", "batch_size=1", "seconds=1.5") as client:
        slow(client, 0.2)
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: ask(client, uri), range(6)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes.count(200) >= 2
        assert codes.count(503) >= 2
        assert all(a.headers["Retry-After"] == "2" for a in answers if a.status_code == 503)
        slow(client, 2)
        late = ask(client, uri)
        assert (late.status_code, late.headers["Retry-After"]) == (503, "10")
        assert "more than 1.5 seconds" in late.json()["detail"]


@pytest.fixture(scope="module")
def address(tiny_runs, folder):
    """The service behind a real socket, with little patience."""
    options = [f"photo_folders=[{folder}/photos]", "max_bytes=100000", "upload_seconds=0.5"]
    app = serve.make_app(configure(tiny_runs[0], "device=cpu", *options))
    with pytest.MonkeyPatch.context() as patch, http_server.listen("127.0.0.1", 0) as connection:
        patch.setattr(http_server, "HEADER_SECONDS", 0.4)
        server = uvicorn.Server(http_server.configure(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [connection]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield connection.getsockname()[:2]
        server.should_exit = True
        thread.join()


def converse(address, *parts: bytes, wait: float = 0.0) -> bytes:
    """Send parts with pauses between them; return all that comes back until the end."""
    with socket.create_connection(address, timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(wait)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


HEAD = b"POST /predict/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


def test_slow_uploads_and_silent_connections(address):
    began = time.monotonic()
    slow = converse(address, HEAD + b"Content-Length: 5000\r\n\r\n", b'{"model_id":')
    assert slow.startswith(b"HTTP/1.1 408")
    assert b"did not arrive within 0.5 seconds" in slow
    assert converse(address).startswith(b"HTTP/1.1 408")  # nothing is sent at all
    assert converse(address, HEAD).startswith(b"HTTP/1.1 408")  # headers without an end
    assert time.monotonic() - began < 8


def test_the_sender_of_too_much_reads_why(address):
    body = b"x" * 8_000_000  # more than the sockets' buffers
    answer = converse(address, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"more than 100,000 bytes were sent" in answer


@pytest.mark.parametrize(
    "sent", [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" * 99]
)
def test_what_is_no_http(address, sent):
    assert converse(address, sent).startswith(b"HTTP/1.1 400")


class PhotoHost(http.server.BaseHTTPRequestHandler):
    """A host of photos, some of which redirect, are late, or have no end."""

    def do_GET(self):
        png = base64.b64decode(data_uri(PHOTO).partition(",")[2])
        path = self.path
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", path.removeprefix("/to/"))
            self.end_headers()
        elif path in ("/fluke.png", "/a%23b%20c.png"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(png)))
            self.end_headers()
            self.wfile.write(png)
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            while True:
                try:
                    self.wfile.write(b"x" * 65536)
                except OSError:
                    return
        elif path == "/late":
            for byte in b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 100:
                try:
                    self.wfile.write(bytes([byte]))
                except OSError:
                    return
                time.sleep(0.05)
        elif path == "/broken":
            self.wfile.write(b"no HTTP\r\n\r\n")
        elif path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "500")
            self.end_headers()
        else:
            self.send_error(503 if path == "/busy" else 404)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def photo_host():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PhotoHost)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def fetching(tiny_runs, photo_host):
    hosts = f"url_hosts=['{photo_host}',localhost]"
    options = [hosts, "private_addresses=true", "fetch_seconds=1", "max_bytes=200000"]
    with serving(tiny_runs[0], *options) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status"),
    {
        "/fluke.png": 200,
        "/a#b c.png": 200,
        "/to//fluke.png": 200,
        "/to//to//to//fluke.png": 200,
        "/to//to//to//to//fluke.png": 400,
        "/to/http://127.0.0.1:1/": 403,  # a redirect to where nothing may be fetched
        "/to/http://169.254.169.254/latest/meta-data": 403,
        "/to/file:///etc/passwd": 400,
        "/missing": 400,
        "/busy": 502,
        "/broken": 502,
        "/cut": 502,
        "/late": 504,
        "/endless": 413,
    }.items(),
)
def test_photos_of_an_allowed_host(fetching, photo_host, path, status):
    answer = ask(fetching, f"http://{photo_host}{path}")
    assert answer.status_code == status, answer.text


def test_an_allowed_host_on_the_local_network_is_refused_unless_that_is_allowed_too(
    tiny_runs, photo_host
):
    with serving(tiny_runs[0], f"url_hosts=['{photo_host}']") as client:
        answer = ask(client, f"http://{photo_host}/fluke.png")
    assert answer.status_code == 403
    assert "private_addresses" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("address", "is_public"),
    {
        "93.184.215.14": True, "2606:2800:21f::1": True, "127.0.0.1": False, "10.1.2.3": False,
        "172.20.0.1": False, "192.168.1.1": False, "169.254.169.254": False, "0.0.0.0": False,
        "100.64.0.1": False, "224.0.0.1": False, "::1": False, "fe80::1%eth0": False,
        "fd00::1": False, "::ffff:127.0.0.1": False, "::ffff:10.0.0.1": False,
    }.items(),
)  # fmt: skip
def test_public_addresses(address, is_public):
    assert url_fetch.is_public(address) is is_public


@pytest.mark.parametrize(
    "url",
    [
        "http://photos.example.evil/x", "http://photos.example:8080/x", "http://evil/photos.example",
        "http://photos.example@evil/x", "http://evil#@photos.example/", "http://photos.example./x",
        "https://photos.example:80/x", "http://[::ffff:127.0.0.1]/x", "http://2130706433/x",
    ],
)  # fmt: skip
def test_urls_that_only_resemble_an_allowed_one(url):
    rules = url_fetch.UrlRules(hosts=("photos.example",))
    assert url_fetch.check_url("https://PHOTOS.example:443/x", rules).hostname == "photos.example"
    with pytest.raises(HTTPException):
        url_fetch.check_url(url, rules)


def test_the_description_names_every_answer(client):
    described = client.get("/openapi.json").json()["paths"]
    assert set(described) == {"/predict/", "/health"}
    codes = set(described["/predict/"]["post"]["responses"])
    assert codes == {"200", *map(str, (400, 403, 404, 408, 413, 422, 502, 503, 504))}
    json.dumps(described)
