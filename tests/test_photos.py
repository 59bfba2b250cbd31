"""Photos and masks of every kind, whole and broken. All are rendered here."""

import io
import os
import re
import struct
import sys
import threading
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeseg.errors import InputError
from flukeseg.images import decoding
from flukeseg.images.file_names import collision_key, portable_name
from flukeseg.images.reading import (
    IMAGE_SUFFIXES,
    convert_picture,
    find_photos,
    photo_size,
    read_for_network,
    read_mask,
    read_photo,
)
from flukeseg.images.resizing import resize_mask, resize_photo
from flukeseg.rendering import render

# Four quarters of different colour: every one of the eight orientations looks different.
HEIGHT, WIDTH = 16, 24
SCENE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
SCENE[:8, :8], SCENE[:8, 8:], SCENE[8:, :8], SCENE[8:, 8:] = (
    (200, 30, 40),
    (240,) * 3,
    20,
    (0, 90, 200),
)


def encoded(image, kind, **options) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
        stream, kind, **options
    )
    return stream.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def heic(image, **options) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(Image.fromarray(image))
    stream = io.BytesIO()
    file.save(stream, quality=-1, **options)
    return stream.getvalue()


def grey(image=SCENE):
    return np.asarray(Image.fromarray(image).convert("L"))


@pytest.fixture
def photo(tmp_path):
    def write(content, name="whale.jpg"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def with_late_exif(stored, orientation) -> bytes:
    """Give a PNG whose EXIF comes after its pixels."""
    early = encoded(stored, "PNG", exif=exif(orientation))
    plain = encoded(stored, "PNG")
    at = early.index(b"eXIf") - 4
    chunk = early[at : at + 12 + int.from_bytes(early[at : at + 4], "big")]
    end = plain.index(b"IEND") - 4
    return plain[:end] + chunk + plain[end:]


STORED = {  # how a photo of each EXIF orientation lies in its file
    1: SCENE,
    2: SCENE[:, ::-1],
    3: SCENE[::-1, ::-1],
    4: SCENE[::-1],
    5: SCENE.swapaxes(0, 1),
    6: np.rot90(SCENE),
    7: SCENE[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(SCENE, -1),
}


def check_picture(path, expected):
    """A picture that PIL opened is the same photo as its file, decoded already or not."""
    for is_loaded in (False, True):
        with Image.open(path) as picture:
            if is_loaded:
                picture.load()
            np.testing.assert_array_equal(convert_picture(picture), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "late PNG", "TIFF", "LZW TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_all_orientations_come_upright(photo, orientation, kind):
    stored = np.ascontiguousarray(STORED[orientation])
    options = {"exif": exif(orientation)}
    if kind == "AVIF" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    if kind == "late PNG":
        content = with_late_exif(stored, orientation)
    else:
        if kind == "LZW TIFF":
            options["compression"] = "tiff_lzw"
        if kind in ("JPEG", "WEBP", "AVIF"):
            options["quality"] = 98
        content = encoded(stored, kind.split()[-1], **options)
    image = read_photo(photo(content))
    assert image.shape == SCENE.shape
    assert photo_size(photo(content)) == (HEIGHT, WIDTH)
    check_picture(photo(content), image)
    assert np.abs(image.astype(int) - SCENE)[4, 4].max() < 8  # corners, away from blurred borders
    assert np.abs(image.astype(int) - SCENE).mean() < 12


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist_turn_nothing(photo, orientation):
    content = encoded(SCENE, "PNG", exif=exif(orientation))
    np.testing.assert_array_equal(read_photo(photo(content)), SCENE)


def test_heic_is_read_and_upright(photo):
    content = heic(np.ascontiguousarray(STORED[6]), exif=exif(6).tobytes())
    image = read_photo(photo(content, "whale.HEIC"))
    assert image.shape == SCENE.shape
    assert photo_size(photo(content)) == (HEIGHT, WIDTH)
    assert np.abs(image.astype(int) - SCENE).mean() < 12


def test_heic_that_decodes_to_another_size_than_it_states(photo):
    content = heic(SCENE)
    crop = content.index(b"clap")  # the part of the coded picture that is to be shown
    for at in range(crop, crop + 36):
        for value in (0, 1, 255):
            assert_image_or_refused(photo(content[:at] + bytes([value]) + content[at + 1 :]))


def test_heic_without_the_extra_says_what_to_install(photo, monkeypatch):
    path = photo(heic(SCENE))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match=re.escape('pip install "flukeseg[heic]"')):
        read_photo(path)


def exact_files():
    scene = Image.fromarray(SCENE)
    shades = np.repeat(grey()[..., None], 3, axis=-1)
    deep = grey().astype(np.uint16) * 257
    black_and_white = np.repeat((grey() > 127)[..., None], 3, axis=-1).astype(np.uint8) * 255
    yield "rgb png", encoded(scene, "PNG"), SCENE
    yield "grey png", encoded(grey(), "PNG"), shades
    yield "1-bit png", encoded(Image.fromarray(grey() > 127), "PNG"), black_and_white
    yield "palette png", encoded(scene.quantize(4), "PNG"), SCENE
    yield "16-bit png", encoded(deep, "PNG"), shades
    yield "grey and alpha png", encoded(scene.convert("LA"), "PNG"), shades
    yield "bmp", encoded(scene, "BMP"), SCENE
    yield "gif", encoded(scene.quantize(4), "GIF"), SCENE
    yield (
        "moving gif",
        encoded(scene.quantize(4), "GIF", save_all=True, append_images=[scene]),
        SCENE,
    )
    yield "lossless webp", encoded(scene, "WEBP", lossless=True), SCENE
    yield "tiff", encoded(scene, "TIFF"), SCENE
    yield "deflate tiff", encoded(scene, "TIFF", compression="tiff_adobe_deflate"), SCENE
    yield (
        "group 4 tiff",
        encoded(Image.fromarray(grey() > 127), "TIFF", compression="group4"),
        black_and_white,
    )
    yield "16-bit tiff", encoded(deep, "TIFF"), shades
    yield "white-is-zero tiff", encoded(65535 - deep, "TIFF", tiffinfo={262: 0}), shades
    yield "float tiff, 0 to 1", encoded(grey() / np.float32(255), "TIFF"), shades
    yield "float tiff, 0 to 255", encoded(grey().astype(np.float32), "TIFF"), shades
    yield "planar tiff", planar_tiff(), SCENE
    yield "16-bit colour png", colour_png_16(), SCENE


def planar_tiff() -> bytes:
    """Give a TIFF with one strip for each colour, which Pillow reads but does not write."""
    planes = [SCENE[..., band].tobytes() for band in range(3)]
    at, offsets, data = 8, [], b""
    for plane in planes:
        offsets.append(at + len(data))
        data += plane
    extra = at + len(data)
    entries = [
        (256, 3, 1, WIDTH),
        (257, 3, 1, HEIGHT),
        (258, 3, 3, extra),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 3, extra + 6),
        (277, 3, 1, 3),
        (278, 3, 1, HEIGHT),
        (279, 4, 3, extra + 18),
        (284, 3, 1, 2),
    ]
    tail = struct.pack("<3H3I3I", 8, 8, 8, *offsets, *[len(plane) for plane in planes])
    table = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )
    return b"II*\0" + struct.pack("<I", extra + len(tail)) + data + tail + table + bytes(4)


def colour_png_16() -> bytes:
    return cv2.imencode(".png", SCENE[..., ::-1].astype(np.uint16) * 257)[1].tobytes()


@pytest.mark.parametrize(
    ("content", "expected"), [pytest.param(c, e, id=n) for n, c, e in exact_files()]
)
def test_lossless_files_are_exact(photo, content, expected):
    image = read_photo(photo(content))
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, expected)
    check_picture(photo(content), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpegs_of_each_colour_space(photo, mode):
    image = read_photo(
        photo(encoded(Image.fromarray(SCENE).convert(mode), "JPEG", quality=98, subsampling=0))
    )
    expected = SCENE if mode != "L" else np.repeat(grey()[..., None], 3, axis=-1)
    assert np.abs(image.astype(int) - expected).mean() < 4


def test_adobe_cmyk_is_not_a_negative(photo):
    content = encoded(Image.new("CMYK", (8, 8), 0), "JPEG")
    assert b"Adobe" in content  # the marker which says that inks are stored inverted
    assert read_photo(photo(content)).min() > 250  # no ink


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparent_parts_are_white(photo, mode):
    cut_out = Image.fromarray(
        np.dstack([SCENE, np.where(np.arange(WIDTH) < 8, 0, 255) + np.zeros((HEIGHT, 1))]).astype(
            np.uint8
        )
    )
    if mode == "P":
        flat = Image.fromarray(
            (np.arange(WIDTH) >= 8).astype(np.uint8) + np.zeros((HEIGHT, 1), np.uint8)
        )
        flat.putpalette([0, 0, 0, 10, 20, 30])
        content = encoded(flat, "PNG", transparency=0)
    elif mode == "RGB":  # one colour stands for transparent
        content = encoded(SCENE, "PNG", transparency=(200, 30, 40))
    else:
        content = encoded(cut_out.convert(mode), "PNG")
    image = read_photo(photo(content))
    check_picture(photo(content), image)
    assert (image[:8, :8] == 255).all()
    assert (image[8:, 8:] != 255).any()


def test_half_transparent_black_is_grey(photo):
    assert (
        125
        <= read_photo(photo(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))).mean()
        <= 129
    )


@pytest.mark.parametrize("value", [-5.0, np.nan, np.inf])
def test_floats_that_are_no_brightness_do_no_harm(photo, value):
    content = np.full((4, 4), 0.5, np.float32)
    content[0, 0] = value
    image = read_photo(photo(encoded(content, "TIFF")))
    assert image[0, 0, 0] == 0
    assert image[1, 1, 0] == 128


def test_values_without_a_known_white_are_refused(photo):
    with pytest.raises(InputError, match="32-bit"):
        read_photo(photo(encoded(np.full((4, 4), 7, np.int32), "TIFF")))
    with pytest.raises(InputError, match="the picture has 32-bit"):
        convert_picture(Image.new("I", (4, 4), 7))
    with pytest.raises(InputError, match="values up to 4095"):
        read_photo(photo(encoded(np.full((4, 4), 4095, np.float32), "TIFF")))


def test_a_camera_raw_is_not_read_as_its_thumbnail(photo):
    with pytest.raises(InputError, match="camera raw"):
        read_photo(photo(encoded(SCENE, "TIFF", tiffinfo={254: 1}), "whale.nef"))


# Masks

FLUKE = np.zeros((HEIGHT, WIDTH), np.uint8)
FLUKE[4:9, 6:20] = 1


def mask_files():
    levels = FLUKE * 255
    image = Image.fromarray(levels)
    palette = Image.fromarray(FLUKE)
    palette.putpalette([0, 0, 0, 250, 220, 0])
    clear = Image.merge("LA", [Image.new("L", image.size, 255), image])
    yield "grey", encoded(image, "PNG")
    yield "rgb", encoded(image.convert("RGB"), "PNG")
    yield "1-bit", encoded(image.convert("1"), "PNG")
    yield "palette of 0 and 1", encoded(palette, "PNG")
    yield "rgba", encoded(image.convert("RGBA"), "PNG")
    yield "white on nothing", encoded(clear.convert("RGBA"), "PNG")
    yield "16-bit", encoded(levels.astype(np.uint16) * 257, "PNG")
    yield "float", encoded(FLUKE.astype(np.float32), "TIFF")
    yield "jpeg", encoded(image, "JPEG", quality=98)


@pytest.mark.parametrize("content", [pytest.param(c, id=n) for n, c in mask_files()])
def test_masks_of_each_kind(photo, content):
    mask = read_mask(photo(content))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, FLUKE)


def test_mask_threshold_is_exclusive_and_settable(photo):
    path = photo(encoded(np.array([[0, 108, 109, 255]], np.uint8), "PNG"))
    assert read_mask(path).tolist() == [[0, 0, 1, 1]]
    assert read_mask(path, threshold=200).tolist() == [[0, 0, 0, 1]]


def test_mask_comes_upright(photo):
    stored = np.ascontiguousarray(np.rot90(FLUKE)) * 255
    np.testing.assert_array_equal(read_mask(photo(encoded(stored, "PNG", exif=exif(6)))), FLUKE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_mask_of_0_and_1_is_refused(photo, dtype):
    with pytest.raises(InputError, match="0 and 1") as caught:
        read_mask(photo(encoded(FLUKE.astype(dtype), "PNG"), "m.png"))
    assert "m.png" in str(caught.value)


def test_mask_that_only_looks_empty_is_refused(photo):
    red = np.dstack([FLUKE * 255, FLUKE * 0, FLUKE * 0])
    shape_in_alpha = np.dstack([FLUKE * 0] * 3 + [FLUKE * 255])
    for content in (red, shape_in_alpha):
        with pytest.raises(InputError, match="no grey level above 108"):
            read_mask(photo(encoded(content, "PNG")))


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "I;16"])
def test_empty_mask_is_a_mask(photo, mode):
    empty = Image.new(mode, (6, 5), (0, 0, 0, 255) if mode == "RGBA" else 0)
    assert not read_mask(photo(encoded(empty, "PNG"))).any()


# Files that cannot be read


def assert_refused(path, match):
    for read in (read_photo, read_mask, photo_size):
        with pytest.raises(InputError, match=match) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_no_photo_is_refused_by_name(photo, tmp_path):
    assert_refused(photo(float_rgb_tiff()), "save it with 8 or 16 bits a colour")
    assert_refused(photo(b""), "is empty")
    assert_refused(photo(b"<html>please log in</html>"), "not a photo in a known format")
    assert_refused(photo(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"), "not a photo in a known format")
    assert_refused(photo(b"PK", "cards.zip"), "is an archive: unpack it")
    assert_refused(tmp_path, "is not a file")
    assert_refused(tmp_path / "none.jpg", "does not exist")
    assert_refused(tmp_path / ("x" * 300), "too long")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert_refused(tmp_path / "pipe.jpg", "is not a file")


def float_rgb_tiff() -> bytes:
    """Return a TIFF with three floats a pixel, which Pillow neither writes nor reads."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 3, 146), (259, 3, 1, 1), (262, 3, 1, 2),
               (273, 4, 1, 158), (277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 1, 12), (284, 3, 1, 1),
               (339, 3, 3, 152)]  # fmt: skip
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    tail = struct.pack("<3H3H3f", 32, 32, 32, 3, 3, 3, 0.1, 0.5, 0.9)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + tail


def test_what_goes_wrong_after_decoding_is_not_called_damage(photo):
    path = photo(encoded(SCENE, "PNG"))

    def fail():
        with decoding.opened(path):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no such permissions")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_permission_denied(photo, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # the folders above are not everybody's either
    tmp_path.chmod(0o755)
    path, expected = Path(photo(encoded(SCENE, "JPEG")).name), "may not be read"
    if kind == "folder":
        path, expected = Path("closed"), "is a folder that cannot be listed"
        path.mkdir()
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # root may read everything
    try:
        assert_refused(path, expected)
    finally:
        if root:
            os.seteuid(0)
        path.chmod(0o700)


def png_header(width, height) -> bytes:
    content = bytearray(encoded(SCENE, "PNG"))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(("width", "height"), [(12_000, 10_000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_before_decoding(photo, width, height):
    path = photo(png_header(width, height))
    assert photo_size(path) == (height, width)
    for read in (read_photo, read_mask):
        with pytest.raises(InputError, match="raise max_pixels"):
            read(path)


def test_max_pixels_is_the_only_bound(photo, monkeypatch):
    path = photo(encoded(SCENE, "PNG"))
    with pytest.raises(InputError, match="24 x 16 pixels"):
        read_photo(path, max_pixels=HEIGHT * WIDTH - 1)
    # as another library might leave it; Pillow 10 and 11 compare parts of a photo with it too
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 256 * WIDTH)
    tall = np.tile(SCENE, (64, 1, 1))
    assert read_photo(photo(encoded(tall, "PNG")), max_pixels=tall.size).shape == tall.shape


def damageable():
    scene = Image.fromarray(SCENE)
    yield encoded(scene, "JPEG", exif=exif(6))
    yield encoded(scene, "MPO", save_all=True, append_images=[scene], exif=exif(6))
    yield encoded(scene, "PNG", exif=exif(6))
    yield encoded(scene.quantize(4), "PNG", transparency=1)
    yield encoded(scene, "TIFF", exif=exif(6))
    yield encoded(scene, "WEBP", exif=exif(6))
    yield encoded(scene.quantize(4), "GIF")
    yield encoded(scene, "BMP")


DAMAGEABLE = list(damageable())


def assert_image_or_refused(path):
    try:
        image = read_photo(path)
    except InputError as error:
        if str(path) not in str(error) or "\n" in str(error):
            raise
    else:
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert image.shape[:2] == photo_size(path)


@pytest.mark.parametrize("content", DAMAGEABLE, ids=range(len(DAMAGEABLE)))
def test_truncations(tmp_path, content):
    path = tmp_path / "cut.jpg"
    lengths = range(0, len(content), 1 + len(content) // 400)
    for length in {*lengths, *range(len(content) - 30, len(content))}:
        path.write_bytes(content[:length])
        assert_image_or_refused(path)


@given(st.binary(max_size=200), st.sampled_from(DAMAGEABLE), st.data())
@settings(max_examples=200)
def test_random_bytes_and_flipped_ones(tmp_path_factory, junk, content, data):
    path = tmp_path_factory.getbasetemp() / "flipped.jpg"
    path.write_bytes(content[: data.draw(st.sampled_from([0, 4, 12, 30]))] + junk)
    assert_image_or_refused(path)
    damaged = bytearray(content)
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        damaged[at] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    assert_image_or_refused(path)


def test_photos_that_make_pillow_warn_in_threads(photo):
    tags = exif(6)
    tags[270] = "x" * 400
    content = encoded(np.ascontiguousarray(STORED[6]), "JPEG", exif=tags.tobytes()[:200])

    def assert_pillow_warns():
        warned = pytest.warns(UserWarning, match=r"270|Truncated")
        with warned, Image.open(io.BytesIO(content)) as image:
            image.getexif()

    path = photo(content)
    assert_pillow_warns()
    before, failures = list(warnings.filters), []

    def read():
        try:
            for _ in range(60):
                read_photo(path)
        except BaseException as error:  # a warning is an error here
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert warnings.filters == before
    assert_pillow_warns()


def test_filters_of_others_survive_a_read_that_outlasts_them(photo):
    before = list(warnings.filters)
    theirs = warnings.catch_warnings()
    theirs.__enter__()
    warnings.simplefilter("always")
    reading = decoding.opened(photo(encoded(SCENE, "PNG")))
    reading.__enter__()
    theirs.__exit__(None, None, None)
    reading.__exit__(None, None, None)
    assert warnings.filters == before


# Folders and sizes


def test_find_photos_lists_images_only(tmp_path):
    for name in ("b.JPG", "a.png", "c.HEIC", "._b.JPG", ".hidden.png", "notes.txt", "jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "folder.jpg" / "inside.jpg").write_bytes(b"x")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert [path.name for path in find_photos(tmp_path)] == ["a.png", "b.JPG", "c.HEIC"]
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_SUFFIXES)


@pytest.mark.parametrize("name", ["missing", "a.png"])
def test_find_photos_in_no_folder(tmp_path, name):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match=name):
        find_photos(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("whale 1.jpg", "whale 1.jpg"), ("12:30.jpg", "12~30.jpg"), ("a?*|<>\"\\.png", "a~~~~~~~.png"),
     ("CON", "CON~"), ("nul.tar.gz", "nul~.tar.gz"), ("com1 .jpg", "com1~ .jpg"),
     ("lpt9.", "lpt9~"), ("console.jpg", "console.jpg"), ("a. .", "a~~~"), ("é\n.jpg", "é~.jpg")],
)  # fmt: skip
def test_names_that_windows_does_not_take_are_changed(name, expected):
    assert portable_name(name) == expected
    assert portable_name(expected) == expected


def test_names_that_some_disk_takes_for_one_collide():
    assert collision_key("É.JPG") == collision_key("e\u0301.jpg")
    assert collision_key("ß") == collision_key("SS")
    assert collision_key("e.jpg") != collision_key("é.jpg")


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
@settings(max_examples=100)
def test_resizing_keeps_flat_pictures_flat(before, after):
    assert (
        resize_photo(np.full((*before, 3), 77, np.uint8), after) == np.full((*after, 3), 77)
    ).all()
    for value in (0, 1):
        mask = resize_mask(np.full(before, value, np.uint8), after)
        assert mask.dtype == np.uint8
        assert (mask == np.full(after, value)).all()


def test_shrinking_averages_and_growing_is_cubic():
    stripes = np.zeros((8, 9, 3), np.uint8)
    stripes[:, ::3] = 210
    assert (resize_photo(stripes, (8, 3)) == 70).all()
    assert (resize_photo(stripes, (16, 3)) == 70).all()  # one side grows, the other still averages
    edge = np.repeat(np.repeat([[50, 200]], 4, axis=1), 8, axis=0).astype(np.uint8)
    assert resize_photo(np.dstack([edge] * 3), (16, 16)).max() > 200  # only cubic overshoots
    np.testing.assert_array_equal(resize_photo(SCENE, (HEIGHT, WIDTH)), SCENE)


def test_mask_is_fluke_where_more_than_half_is():
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 1]], np.uint8)
    assert resize_mask(mask[:, :2], (1, 1)).item() == 1  # three quarters
    assert resize_mask(mask[:, 2:], (1, 1)).item() == 0  # one quarter
    assert resize_mask(np.array([[1, 0]], np.uint8), (1, 1)).item() == 0  # exactly half


@pytest.mark.parametrize("turn", [1, 6])
def test_a_large_jpeg_is_read_smaller_and_comes_to_the_same(tmp_path, turn):
    picture = resize_photo(render((5, 1), (200, 400)).image, (1000, 2000))
    path = tmp_path / "large.jpg"
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(picture).save(path, quality=95, exif=exif)
    whole = read_photo(path)
    for size, shrunk in (((100, 200), 4), ((100, 250), 4), ((100, 251), 2), ((250, 501), 1)):
        own = size if turn == 1 else size[::-1]
        photo, stated, full = read_for_network(path, own)
        assert (stated, full) == (turn, whole.shape[:2])
        assert photo.shape[:2] == tuple(side // shrunk for side in full)
        difference = resize_photo(photo, own).astype(float) - resize_photo(whole, own)
        assert np.abs(difference).mean() < 0.5
        assert np.abs(difference.mean()) < 0.1
