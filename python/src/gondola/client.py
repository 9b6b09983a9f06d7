"""The clients: one that waits and one that is awaited, with the same methods.

Every method is described once, in :mod:`gondola._calls`; the table :class:`_Methods` gives them to both clients.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import inspect
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar, overload

import httpx

from . import _calls
from ._calls import Call, Plan, Reply
from ._retries import Failure, Retries
from .errors import ApiError, ConnectionFailed, RequestTimeout

P = ParamSpec("P")
T = TypeVar("T")


class _Method(Generic[P, T]):
    """A method of both clients, by the description of its request."""

    def __init__(self, describe: Callable[P, Call[T] | Plan[T]]) -> None:
        self.describe = describe
        functools.update_wrapper(self, describe)  # type: ignore[arg-type]

    @overload
    def __get__(self, client: Client, owner: type | None = None) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, client: AsyncClient, owner: type | None = None
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, owner: type | None = None) -> _Method[P, T]: ...
    def __get__(self, client: Any, owner: type | None = None) -> Any:
        if client is None:
            return self

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self.describe(*args, **kwargs))

        functools.update_wrapper(method, self.describe)
        method.__signature__ = _signature(self.describe, awaited=isinstance(client, AsyncClient))  # type: ignore[attr-defined]
        return method


def _signature(describe: Callable[..., Any], *, awaited: bool) -> inspect.Signature:
    """What a notebook shows of a method: the description's arguments, and what it comes to."""
    signature = inspect.signature(describe)
    result = str(signature.return_annotation).partition("[")[2].removesuffix("]")
    return signature.replace(return_annotation=f"Awaitable[{result}]" if awaited else result)


class _Methods:
    """What can be asked of a pipeline."""

    recommend = _Method(_calls.recommend)
    recommend_many = _Method(_calls.recommend_many)
    recommend_frame = _Method(_calls.recommend_frame)
    similar = _Method(_calls.similar)
    explain = _Method(_calls.explain)
    put_user = _Method(_calls.put_user)
    patch_user = _Method(_calls.patch_user)
    delete_user = _Method(_calls.delete_user)
    put_users = _Method(_calls.put_users)
    put_item = _Method(_calls.put_item)
    patch_item = _Method(_calls.patch_item)
    delete_item = _Method(_calls.delete_item)
    put_items = _Method(_calls.put_items)
    record_interactions = _Method(_calls.record_interactions)
    record_outcomes = _Method(_calls.record_outcomes)
    rules = _Method(_calls.rules)
    put_rules = _Method(_calls.put_rules)
    delete_rules = _Method(_calls.delete_rules)
    pipeline = _Method(_calls.pipeline)
    experiment = _Method(_calls.experiment)
    alive = _Method(_calls.alive)
    ready = _Method(_calls.ready)
    metrics = _Method(_calls.metrics)
    openapi = _Method(_calls.openapi)


@dataclass(frozen=True)
class _Settings:
    """Where requests go, and what all of them have."""

    url: str
    admin_url: str
    retries: Retries
    api_key: str | None = field(repr=False)
    token: str | Callable[[], str] | None = field(repr=False)

    def request(self, client: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
        headers = {"x-request-id": uuid.uuid4().hex, "accept": "*/*"}
        if self.api_key is not None:
            headers["x-api-key"] = self.api_key
        if self.token is not None:
            token = self.token if isinstance(self.token, str) else self.token()
            headers["authorization"] = f"Bearer {token}"
        if call.body is not None:
            headers["content-type"] = "application/json"
        base = self.admin_url if call.admin else self.url
        return client.build_request(
            call.method,
            base + call.path,
            params=dict(call.query) or None,
            content=call.body,
            headers=headers | dict(call.headers),
        )

    def wait(self, call: Call[Any], attempt: int, outcome: httpx.Response | _Broken) -> float | None:
        """Seconds until the call is sent again; ``None`` if this is how it ended."""
        if isinstance(outcome, _Broken):
            return self.retries.wait(attempt, outcome.failure, repeatable=call.repeatable)
        after = outcome.headers.get("retry-after")
        return self.retries.wait(attempt, outcome.status_code, repeatable=call.repeatable, retry_after=after)


def _settings(
    url: str,
    admin_url: str | None,
    api_key: str | None,
    token: str | Callable[[], str] | None,
    retries: Retries | None,
) -> _Settings:
    if api_key is not None and token is not None:
        raise ValueError("a client has an api_key or a token, not both")
    for address in filter(None, (url, admin_url)):
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"{address!r} is no URL of a server; write http://HOST:PORT")
    main = url.rstrip("/")
    return _Settings(main, (admin_url or main).rstrip("/"), retries or Retries(), api_key, token)


class _Broken(Exception):
    """There was no answer."""

    def __init__(self, failure: Failure, error: ConnectionFailed) -> None:
        super().__init__(failure)
        self.failure = failure
        self.error = error


@contextmanager
def _told(request: httpx.Request) -> Iterator[None]:
    """What the library says of connections, in our words."""
    where = f"{request.method} {request.url}"
    try:
        yield
    except httpx.ConnectTimeout as error:
        failed = RequestTimeout(f"{where}: no connection in time")
        raise _Broken(Failure.NOT_CONNECTED, failed) from error
    except httpx.TimeoutException as error:
        raise _Broken(Failure.TIMEOUT, RequestTimeout(f"{where}: no answer in time")) from error
    except httpx.ConnectError as error:
        raise _Broken(Failure.NOT_CONNECTED, ConnectionFailed(f"{where}: {error}")) from error
    except httpx.TransportError as error:
        raise _Broken(
            Failure.BROKEN, ConnectionFailed(f"{where}: {error or type(error).__name__}")
        ) from error


def _reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, response.content, response.headers.get("x-request-id"))


class Client(_Methods):
    """Asks a pipeline, and waits for its answers. Threads may share it.

    :param url: where the pipeline is, such as ``http://shop.default.svc:8080``.
    :param admin_url: where changes and reports go; default: the same. In a cluster that is port 8081 of another Service.
    :param api_key: sent as ``x-api-key``.
    :param token: sent as a bearer token; a function is asked for it before each attempt.
    :param timeout: seconds that an attempt may take.
    :param retries: how often is asked again.
    :param verify: the certificates that are trusted; ``False`` trusts everybody.
    :param trust_env: whether variables such as HTTPS_PROXY and SSL_CERT_FILE count.
    """

    def __init__(
        self,
        url: str,
        *,
        admin_url: str | None = None,
        api_key: str | None = None,
        token: str | Callable[[], str] | None = None,
        timeout: float = 10.0,
        retries: Retries | None = None,
        verify: ssl.SSLContext | bool = True,
        trust_env: bool = True,
    ) -> None:
        self._settings = _settings(url, admin_url, api_key, token, retries)
        self._http = httpx.Client(timeout=timeout, verify=verify, trust_env=trust_env)

    def send(self, described: Call[T] | Plan[T]) -> T:
        """Sends what is described, and gives what it came to."""
        if isinstance(described, Call):
            return described.result(self._reply(described))
        if described.together == 1:
            return described.merge([self._outcome(described, call) for call in described.calls])
        failed = threading.Event()

        def unless_failed(call: Call[Any]) -> Any:
            # The thread that waits for outcomes may hear of a failure late; those that ask look for themselves.
            if failed.is_set():
                return None
            try:
                return self._outcome(described, call)
            except BaseException:
                failed.set()
                raise

        threads = ThreadPoolExecutor(max_workers=described.together)
        try:
            return described.merge(list(threads.map(unless_failed, described.calls)))
        finally:
            threads.shutdown(cancel_futures=True)

    def _outcome(self, plan: Plan[Any], call: Call[Any]) -> Any:
        try:
            return self.send(call)
        except ApiError as error:
            if isinstance(error, plan.kept):
                return error
            raise

    def _reply(self, call: Call[Any]) -> Reply:
        attempt = 1
        while True:
            outcome = self._attempt(call)
            wait = self._settings.wait(call, attempt, outcome)
            if wait is None:
                break
            time.sleep(wait)
            attempt += 1
        if isinstance(outcome, _Broken):
            raise outcome.error from outcome.__cause__
        return _reply(outcome)

    def _attempt(self, call: Call[Any]) -> httpx.Response | _Broken:
        request = self._settings.request(self._http, call)
        try:
            with _told(request):
                return self._http.send(request)
        except _Broken as broken:
            return broken

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._settings.url!r})"


class AsyncClient(_Methods):
    """The same as :class:`Client`, to be awaited.

    Its methods and arguments are those of :class:`Client`.
    """

    def __init__(
        self,
        url: str,
        *,
        admin_url: str | None = None,
        api_key: str | None = None,
        token: str | Callable[[], str] | None = None,
        timeout: float = 10.0,
        retries: Retries | None = None,
        verify: ssl.SSLContext | bool = True,
        trust_env: bool = True,
    ) -> None:
        self._settings = _settings(url, admin_url, api_key, token, retries)
        self._http = httpx.AsyncClient(timeout=timeout, verify=verify, trust_env=trust_env)

    async def send(self, described: Call[T] | Plan[T]) -> T:
        """Sends what is described, and gives what it came to."""
        if isinstance(described, Call):
            return described.result(await self._reply(described))
        if described.together == 1:
            return described.merge([await self._outcome(described, call) for call in described.calls])
        room = asyncio.Semaphore(described.together)

        async def in_turn(call: Call[Any]) -> Any:
            async with room:
                return await self._outcome(described, call)

        tasks = [asyncio.ensure_future(in_turn(call)) for call in described.calls]
        try:
            return described.merge(list(await asyncio.gather(*tasks)))
        finally:
            # After a failure nothing more is asked.
            for task in tasks:
                task.cancel()

    async def _outcome(self, plan: Plan[Any], call: Call[Any]) -> Any:
        try:
            return await self.send(call)
        except ApiError as error:
            if isinstance(error, plan.kept):
                return error
            raise

    async def _reply(self, call: Call[Any]) -> Reply:
        attempt = 1
        while True:
            outcome = await self._attempt(call)
            wait = self._settings.wait(call, attempt, outcome)
            if wait is None:
                break
            await asyncio.sleep(wait)
            attempt += 1
        if isinstance(outcome, _Broken):
            raise outcome.error from outcome.__cause__
        return _reply(outcome)

    async def _attempt(self, call: Call[Any]) -> httpx.Response | _Broken:
        request = self._settings.request(self._http, call)
        try:
            with _told(request):
                return await self._http.send(request)
        except _Broken as broken:
            return broken

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._settings.url!r})"


def sign_arm(key: bytes, arm: str, unit: str, *, seconds: int = 3600, now: float | None = None) -> str:
    """The signature with which a server's main port shows an arm to one unit (the user, or what the experiment's header holds).

    :param key: the pipeline's arm key.
    :param seconds: for how long it is valid; a server takes a day at most.
    """
    expires = int(now if now is not None else time.time()) + seconds
    digest = hmac.new(key, f"{arm}\n{unit}\n{expires}".encode(), hashlib.sha256)
    return f"{expires}.{digest.hexdigest()}"
