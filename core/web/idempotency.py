"""`Idempotency-Key`: the same request twice has one effect and one answer (draft-ietf-httpapi-idempotency-key-header).

The key is taken, the path works and its answer is kept in one transaction, so that none of them is there without the
others; who comes with the same key meanwhile waits, and gets that answer. A key belongs to the user, or to the token,
that sent it. Answers that say that nothing was done are not kept, and free the key.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from types import TracebackType
from typing import Annotated, Any, Self

from fastapi import Header, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from core.errors import PostroomError
from core.idempotency import KEY_CHARS, earlier_outcome, keep_outcome, let_go
from core.orm.transaction import transaction
from core.web.errors import AnswerNotKept, BadKey, RequestRunning
from core.web.session import Visit

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
Handler = Callable[[Request], Awaitable[Response]]
_KEPT_HEADERS = ("content-type", "location", "etag")
_MOST_KEPT_BYTES = 1_000_000
_REFUSALS = (PostroomError, HTTPException, RequestValidationError)
"""What a path raises before it has done anything that counts."""


class Keyed(StrEnum):
    """What a key means to a path."""

    TOGETHER = "together"
    """Effect and answer are committed at once."""
    ALONE = "alone"
    """The path asks others over the network, and so runs in no transaction: its key is committed before it begins.
    Where nobody knows how it ended, the key stays taken, and nothing is done twice."""
    SECRET = "secret"  # noqa: S105 - a word
    """As TOGETHER, but the answer holds a secret and is not kept."""
    IGNORED = "ignored"
    """The same request twice does no more than once, by the path's own nature."""


@dataclass(frozen=True, slots=True)
class _Means:
    """Says of a route what a key means to it; `Once` reads it."""

    how: Keyed

    async def __call__(self) -> None:
        """Do nothing."""


def keyed(how: str) -> _Means:
    """Return the dependency of a route whose keys mean something else than `together`."""
    return _Means(Keyed(how))


def meaning(dependencies: Iterable[Any]) -> Keyed:
    """Return what a key means to a route with these dependencies."""
    said = [one.dependency.how for one in dependencies if isinstance(one.dependency, _Means)]
    return said[-1] if said else Keyed.TOGETHER


class _Replayed(Exception):
    """The request was met before; `answer` is what it got."""

    def __init__(self, answer: Response):
        self.answer = answer


class _Unkept(Exception):
    """The answer says that nothing was done; whatever was is rolled back."""


class Once:
    """One request with a key, from when the key is taken until its answer is kept."""

    def __init__(self, how: Keyed, fingerprint: str):
        self._how = how
        self._fingerprint = fingerprint
        self._taken: tuple[str, str] | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)
        if self._how is Keyed.ALONE and self._taken and isinstance(error, (*_REFUSALS, _Unkept)):
            await let_go(*self._taken)

    async def take(self, scope: str, key: str) -> None:
        """Take the key, in the transaction that ends with this request, or in one of its own."""
        if self._how is Keyed.ALONE:
            async with transaction():
                earlier = await earlier_outcome(scope, key, self._fingerprint)
        else:
            await self._stack.enter_async_context(transaction())
            earlier = await earlier_outcome(scope, key, self._fingerprint)
        if earlier is not None:
            raise _Replayed(_answer(earlier))
        self._taken = scope, key

    async def keep(self, answer: Response) -> None:
        """Store the answer with the key, or refuse to where nothing was done."""
        if answer.status_code >= 400:
            raise _Unkept
        if self._taken is not None:
            await keep_outcome(*self._taken, _outcome(answer, self._how))


async def answered_once(request: Request, handler: Handler, how: Keyed) -> Response:
    """Answer a request that has a key, or repeat the answer that it got."""
    request.state.once = Once(how, fingerprint_of(request, await request.body()))
    try:
        async with request.state.once as once:
            answer = await handler(request)
            await once.keep(answer)
    except _Replayed as replayed:
        return replayed.answer
    except _Unkept:
        return answer
    return answer


async def take_key(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias=HEADER, min_length=1, max_length=KEY_CHARS + 2, description="The same key again repeats the answer."
        ),
    ] = None,
) -> None:
    """Take the request's key; the dependency that comes after all that may refuse the request."""
    once: Once | None = getattr(request.state, "once", None)
    visit: Visit = request.state.visit
    if once is None or key is None or visit.user is None:
        return
    if len(request.headers.getlist(HEADER)) > 1:
        raise BadKey("Send one Idempotency-Key header.")
    token = f"token:{visit.token.pk}" if visit.token is not None else "session"
    await once.take(f"http:{visit.user.pk}:{token}", _bare(key))


def fingerprint_of(request: Request, body: bytes) -> str:
    """Return what two requests share if they ask for the same."""
    told = (request.method.encode(), request.scope["raw_path"], request.scope["query_string"], sha256(body).digest())
    return sha256(b"\0".join(told)).hexdigest()


def _bare(key: str) -> str:
    """Return the key: a string of RFC 9651 in quotes, or the same without them, as many send it."""
    bare = key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key
    if not (bare.isascii() and bare.isprintable()) or len(bare) > KEY_CHARS:
        raise BadKey(f"An idempotency key has 1 to {KEY_CHARS} printable ASCII characters; a UUID is a good one.")
    return bare


def _outcome(answer: Response, how: Keyed) -> dict[str, Any]:
    body = getattr(answer, "body", None)
    is_kept = how is not Keyed.SECRET and isinstance(body, bytes) and len(body) <= _MOST_KEPT_BYTES
    return {
        "status": answer.status_code,
        "headers": {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers},
        "body": b64encode(body).decode() if is_kept and isinstance(body, bytes) else None,
    }


def _answer(outcome: Mapping[str, Any]) -> Response:
    if not outcome:
        raise RequestRunning(
            "The first request with this key is being worked on, or ended without an answer. Where it stays so, look "
            "at what it did before you take a new key."
        )
    if outcome["body"] is None:
        raise AnswerNotKept(
            f"This request was met before, with status {outcome['status']}; its answer was not kept, since it held a "
            "secret or was too large."
        )
    return Response(b64decode(outcome["body"]), outcome["status"], {**outcome["headers"], REPLAYED: "true"})
