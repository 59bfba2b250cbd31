"""`POST /predict/` as Wildbook's ml-service has it, and `GET /health`.

The contract, of https://github.com/WildMeOrg/ml-service: a request names a model and a photo; the
answer lists boxes x, y, width, height in pixels of the upright photo, with a score, an angle, a
class's name and number for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from flukeseg import __version__
from flukeseg.serving.http_server import LOOPBACK_NAMES
from flukeseg.serving.prediction_service import PredictionService, describe_flukes
from flukeseg.serving.request_guard import RequestGuard, RequestLimits, problem

STATUSES = {
    400: "The photo cannot be read, or it is not at its URL.",
    403: "The path or the URL's host is not allowed.",
    404: "There is no such model or file.",
    408: "The request did not arrive in time.",
    413: "The request or the photo has too many bytes.",
    422: "The request is not as described here.",
    502: "The photo's host does not answer properly.",
    503: "Too many requests are waiting, or this one took too long; see Retry-After.",
    504: "The photo's host did not send it in time.",
}


BLACK = (  # a pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

Size = Annotated[list[int], Field(min_length=2, max_length=2, description="height, width")]
BoxSides = Annotated[list[int], Field(min_length=4, max_length=4)]


class Strict(BaseModel):
    """An object with the described fields and no others."""

    model_config = ConfigDict(strict=True, extra="forbid")


class ModelParams(Strict):
    """How to predict."""

    conf: float = Field(0, ge=0, le=1, description="Flukes with a lower score are left out.")
    masks: Literal["rle", "png"] | None = Field(
        None, description="Add masks: COCO run lengths, or PNG files as base64 text."
    )


class PredictionRequest(Strict):
    """A photo to predict."""

    model_id: str = Field(max_length=200, examples=["flukeseg"])
    image_uri: str = Field(
        pattern=r"^(data:image/[a-z0-9.+-]+;base64,|https?://|/|[A-Za-z]:[\\/])",
        examples=[f"data:image/png;base64,{BLACK}", "/photos/fluke.jpg"],
        description="data:image/…;base64,…, a URL of an allowed host, or the absolute path of a "
        "file below an allowed folder.",
    )
    model_params: ModelParams | None = None


class RunLengths(BaseModel):
    """A mask, column by column: the number of pixels outside, inside, outside, …."""

    size: Size
    counts: list[int]


class PredictionAnswer(BaseModel):
    """The flukes of a photo, the largest first; each list has an entry for each of them."""

    model_id: str
    bboxes: list[BoxSides] = Field(description="x, y, width, height in pixels of the upright photo")
    scores: list[float] = Field(description="expected Dice of each mask, 0 to 1")
    thetas: list[float] = Field(description="0: boxes are not rotated")
    class_names: list[str]
    class_ids: list[int]
    reasons: list[str] = Field(description="why a person should look at the masks, if any")
    masks: list[RunLengths | str] | None = Field(None, description="at the photo's size")


class Health(BaseModel):
    """The service answers, and with what."""

    status: Literal["ok"]
    version: str
    model_id: str
    size: Size = Field(description="height, width of the network's input")
    runtime: str


class Problem(BaseModel):
    """Why a request was refused, in a sentence."""

    detail: str


def make_service(
    service: PredictionService,
    limits: RequestLimits,
    model_id: str,
    class_name: str,
    token: str | None = None,
    is_local: bool = True,
) -> RequestGuard:
    """Build the server.

    Args:
        service: what predicts.
        limits: of requests.
        model_id: that requests ask for.
        class_name: of every fluke.
        token: that requests must carry; None asks for none.
        is_local: it is reached from this machine only, under one of its own names.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    statuses = STATUSES | ({401: "The token is missing or wrong."} if token else {})
    app = FastAPI(
        title="flukeseg",
        version=__version__,
        description="Fluke masks of photos.",
        docs_url=None,  # the pages that FastAPI offers load their scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.service = service

    @app.exception_handler(RequestValidationError)
    async def explain(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return problem(422, f"{place}: {first['msg']}" if place else first["msg"])

    @app.post(
        "/predict/",
        response_model_exclude_none=True,
        responses={
            code: {"model": Problem, "description": text} for code, text in statuses.items()
        },
        dependencies=[Depends(HTTPBearer(auto_error=False))] if token else [],
    )
    async def predict(wanted: PredictionRequest) -> PredictionAnswer:
        """Find the flukes of a photo."""
        if wanted.model_id != model_id:
            raise HTTPException(404, f"there is no model {wanted.model_id}, only {model_id}")
        params = wanted.model_params or ModelParams(conf=0, masks=None)
        work = service.predict(
            wanted.image_uri, lambda p: describe_flukes(p, params.conf, params.masks, class_name)
        )
        try:
            found: dict[str, Any] = await asyncio.wait_for(work, limits.seconds)
        except asyncio.TimeoutError:
            raise HTTPException(
                503, f"it took more than {limits.seconds:g} seconds", {"Retry-After": "10"}
            ) from None
        return PredictionAnswer(model_id=model_id, **found)

    @app.get("/health", responses={503: {"model": Problem, "description": "It has failed."}})
    async def health() -> Health:
        """Say that the service answers."""
        if not service.batcher.is_alive:
            raise HTTPException(503, "predictions have stopped: start the service again")
        predictor = service.segmenter.predictor
        return Health(
            status="ok",
            version=__version__,
            model_id=model_id,
            size=list(predictor.size),
            runtime=predictor.runtime,
        )

    if is_local:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES)
    return RequestGuard(app, limits, token)
