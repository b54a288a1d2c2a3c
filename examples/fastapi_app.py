"""A FastAPI application that reports failed requests, with their paths.

Look at `uvicorn.error`: that logger does not pass its records on to root, so it needs the handler.

uvicorn fastapi_app:app, and open /checkout
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from fastapi import FastAPI, Request, Response

from pushover_logging import PushoverHandler

path: ContextVar[str] = ContextVar("path", default="")
phone = PushoverHandler()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield
    phone.close()  # uvicorn ends by the signal that stopped it: no exit hook runs


app = FastAPI(lifespan=lifespan)


@app.middleware("http")
async def remember(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    path.set(f"{request.method} {request.url.path}")
    return await go_on(request)


def add_path(record: logging.LogRecord) -> bool:
    """Add the path of the request to each record; uvicorn's own records do not have it."""
    if path.get():
        record.path = path.get()
    return True


phone.addFilter(add_path)
logging.getLogger().addHandler(phone)
logging.getLogger("uvicorn.error").addHandler(phone)


@app.get("/")
async def home() -> str:
    return "Fine. Now open /checkout"


@app.get("/checkout")
async def checkout() -> str:
    msg = "card was declined"
    raise ValueError(msg)
