"""The review page over HTTP, for browsers on this machine only."""

from __future__ import annotations

import errno
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from flukeseg.errors import InputError
from flukeseg.images.encoding import encode_jpeg
from flukeseg.images.reading import MAX_PIXELS, read_mask
from flukeseg.prediction.journal import read_row_photo
from flukeseg.prediction.kept_masks import mask_name
from flukeseg.prediction.page import read_thumbnail
from flukeseg.review.edge_following import follow_edge
from flukeseg.review.queue import Row
from flukeseg.review.saving import StaleMaskError
from flukeseg.review.session import ReviewSession
from flukeseg.serving.http_server import LOOPBACK_NAMES
from flukeseg.serving.request_guard import is_foreign, read_body

MOST_UPLOAD = 500_000_000  # bytes of a photo that is dropped on the page

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

POLICY = {
    # the page may load from here alone, and no other page may load from here
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def make_app(session: ReviewSession) -> FastAPI:
    """Build the server of one prediction folder.

    Args:
        session: what it serves.
    """
    # the documentation that FastAPI offers loads its scripts from elsewhere
    app = FastAPI(title="flukeseg review", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES)

    @app.middleware("http")
    async def guard(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        if is_foreign(request):
            return JSONResponse({"detail": "this page is not flukeseg's own"}, 403)
        response = await call_next(request)
        response.headers.update(POLICY)
        return response

    @app.exception_handler(InputError)
    async def explain(request: Request, error: InputError) -> JSONResponse:
        no_room = getattr(error.__cause__, "errno", None) in NO_ROOM
        return JSONResponse({"detail": str(error)}, 507 if no_room else 409)

    def find(photo: str) -> Row:
        row = session.queue.rows().get(photo)
        if row is None or "width" not in row:
            raise HTTPException(404, "there is no such photo in this folder any more")
        return row

    @app.get("/api/queue")
    def queue() -> dict[str, Any]:
        return {
            "version": session.queue.version,
            "folder": session.folder.resolve().name,
            "who": getpass.getuser(),
            "photos": session.queue.photos(),
        }

    @app.get("/api/state")
    def state() -> dict[str, Any]:
        return session.status()

    @app.get("/api/photos/{photo}/photo.jpg")
    def photo_jpeg(photo: str) -> Response:
        content = encode_jpeg(read_row_photo(find(photo), MAX_PIXELS))
        return Response(content, media_type="image/jpeg")

    @app.get("/api/photos/{photo}/thumbnail.jpg")
    def thumbnail(photo: str) -> Response:
        content = read_thumbnail(session.folder, session.queue.state, find(photo))
        if content is None:
            raise HTTPException(404, "the photo or its mask cannot be read")
        return Response(content, media_type="image/jpeg")

    @app.get("/api/photos/{photo}/mask")
    def mask_bytes(photo: str) -> Response:
        row = find(photo)
        # the tag first: a mask that is saved in between has another by the time it is sent back
        etag = session.queue.etag(row)
        mask = read_mask(session.folder / mask_name(row["name"]))
        if mask.shape != (row["height"], row["width"]):
            raise InputError(
                f"{mask_name(row['name'])} is not of its photo's size; draw it anew or delete it"
            )
        content = (mask * np.uint8(255)).tobytes()
        return Response(content, 200, {"ETag": etag}, "application/octet-stream")

    @app.put("/api/photos/{photo}")
    async def save(
        photo: str,
        request: Request,
        response: Response,
        verdict: Annotated[Literal["right", "no_fluke", "undone"], Query()],
        who: Annotated[str, Query(max_length=100)],
        if_match: Annotated[str, Header()],
    ) -> dict[str, Any]:
        row = find(photo)
        body = await read_body(request, row["height"] * row["width"])
        mask = as_mask(body, row["height"], row["width"]) if body else None
        try:
            digest = await run_in_threadpool(
                session.store.save, row, if_match.strip('"'), mask, verdict, who
            )
        except StaleMaskError:
            raise HTTPException(412, "this mask was changed elsewhere meanwhile") from None
        response.headers["ETag"] = f'"{digest}"'
        return {"photo": session.queue.photo(row), "progress": session.queue.progress()}

    @app.post("/api/photos/{photo}/edge")
    async def edge(
        photo: str,
        request: Request,
        left: Annotated[int, Query(ge=0)],
        top: Annotated[int, Query(ge=0)],
        right: int,
        bottom: int,
        x: float,
        y: float,
        radius: Annotated[float, Query(gt=0, le=10_000)],
        more: bool,
    ) -> Response:
        row = find(photo)
        inside = left <= x < right <= row["width"] and top <= y < bottom <= row["height"]
        if not inside:
            raise HTTPException(422, "the click must lie in the region, and that in the photo")
        body = await read_body(request, (bottom - top) * (right - left))
        mask = as_mask(body, bottom - top, right - left)

        def act() -> bytes:
            part = session.photo(row)[top:bottom, left:right]
            return follow_edge(part, mask, (x - left, y - top), radius, more).tobytes()

        return Response(await run_in_threadpool(act), media_type="application/octet-stream")

    @app.get("/api/learning")
    def learnable() -> dict[str, Any]:
        return session.learning.learnable()

    @app.post("/api/learning")
    def learn() -> dict[str, Any]:
        session.learn()
        return session.status()

    @app.post("/api/added")
    async def add(request: Request, name: Annotated[str, Query(max_length=255)]) -> dict[str, str]:
        content = await read_body(request, MOST_UPLOAD)
        return {"path": str(await run_in_threadpool(session.add, name, content))}

    @app.post("/api/prediction")
    def predict() -> dict[str, Any]:
        session.predict_added()
        return session.status()

    @app.get("/api/download.zip")
    def download() -> StreamingResponse:
        from flukeseg.review.zip_archive import zip_chunks  # as in `session.bring_up_to_date`

        session.bring_up_to_date()
        name = {"Content-Disposition": 'attachment; filename="flukes.zip"'}
        return StreamingResponse(zip_chunks(session.predictions), 200, name, "application/zip")

    static = Path(__file__).parent / "static"
    app.mount("/", StaticFiles(directory=static, html=True))
    return app


def as_mask(body: bytes, height: int, width: int) -> np.ndarray:
    """Return the bytes of a mask as H×W uint8, 0 or 255.

    Raises:
        HTTPException: they are none of this size.
    """
    pixels = np.frombuffer(body, np.uint8)
    # 255 + 1 is 0 in bytes; np.isin takes .16 s for 24 megapixels, this .006
    if pixels.size != height * width or (pixels + np.uint8(1)).max() > 1:
        raise HTTPException(422, f"a mask must be {width} × {height} bytes, each 0 or 255")
    return pixels.reshape(height, width)
