"""When a request is sent again, what it costs, and who may ask: the rules, and a pipeline or a bad connection to show them."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

import gondola
from conftest import EXAMPLE, Asker
from gondola import Retries
from gondola._retries import Failure, seconds


@pytest.mark.parametrize(
    ("outcome", "repeatable", "again"),
    [
        (429, False, True),  # it was refused before it did anything
        (Failure.NOT_CONNECTED, False, True),
        (503, True, True),
        (502, True, True),
        (Failure.BROKEN, True, True),
        (503, False, False),
        (Failure.BROKEN, False, False),
        (Failure.TIMEOUT, True, False),
        (200, True, False),
        (400, True, False),
        (404, True, False),
        (500, True, False),
        (504, True, False),
    ],
)
def test_only_what_can_do_no_harm_is_sent_again(
    outcome: int | Failure, repeatable: bool, again: bool
) -> None:
    assert (Retries().wait(1, outcome, repeatable=repeatable) is not None) is again


def test_waits_double_and_end() -> None:
    retries = Retries(attempts=4, first_wait=1.0, longest_wait=3.0)
    waits = [retries.wait(attempt, 503, repeatable=True) for attempt in (1, 2, 3, 4)]
    for wait, most in zip(waits, (1.0, 2.0, 3.0), strict=False):
        assert wait is not None
        assert most / 2 <= wait <= most
    assert waits[3] is None
    assert Retries(attempts=1).wait(1, 429, repeatable=True) is None


def test_what_the_server_asks_for_is_waited() -> None:
    retries = Retries(first_wait=0.1, longest_wait=10.0)
    assert retries.wait(1, 429, repeatable=True, retry_after="7") == 7.0
    assert retries.wait(1, 429, repeatable=True, retry_after="11") is None
    assert retries.wait(1, 429, repeatable=True, retry_after="soon") is not None


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 30, 8, 0, 0, tzinfo=timezone.utc)
    assert seconds("3") == 3.0
    assert seconds("Mon, 30 Nov 2026 08:00:05 GMT", now) == 5.0
    assert seconds("Mon, 30 Nov 2026 07:00:00 GMT", now) == 0.0
    assert seconds("nonsense") is None
    assert seconds(None) is None


def test_a_client_that_asks_too_often_waits_as_it_is_told(shop: Path) -> None:
    options = ["--rate-per-second", "1", "--rate-burst", "1"]
    with gondola.up(EXAMPLE, shop / "store", options=options) as pipeline:
        for awaited in (False, True):
            Asker(pipeline.url, awaited=awaited).recommend("1", k=1)
            with pytest.raises(gondola.TooManyRequests, match="429 RESOURCE_EXHAUSTED"):
                Asker(pipeline.url, awaited=awaited, retries=Retries(attempts=1)).recommend("1", k=1)
            started = time.monotonic()
            assert Asker(pipeline.url, awaited=awaited).recommend("1", k=1).ids
            assert time.monotonic() - started > 0.4
            time.sleep(1.1)


@contextmanager
def breaking(answers: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Something that answers each connection with the next of these bytes, if any, and hangs up: no server of ours does that."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heard
    finally:
        listener.close()


GOOD = (
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 62\r\n\r\n"
    b'{"variant":"v","bundles":{},"items":[],"degraded":["deadline"]}'
)
GOOD = GOOD.replace(b"62", str(len(GOOD.split(b"\r\n\r\n")[1])).encode())
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno"


@pytest.mark.parametrize("awaited", [False, True])
def test_a_question_survives_a_broken_connection_and_a_busy_proxy(awaited: bool) -> None:
    with breaking([b"", BUSY, GOOD]) as (url, heard):
        assert Asker(url, awaited=awaited, retries=Retries(first_wait=0.01)).recommend("1").degraded == (
            "deadline",
        )
    assert len(heard) == 3


@pytest.mark.parametrize("awaited", [False, True])
def test_outcomes_without_ids_are_not_told_twice(awaited: bool) -> None:
    outcome = gondola.Outcome("1", "purchase")
    with breaking([b"", GOOD]) as (url, heard):
        with pytest.raises(gondola.ConnectionFailed):
            Asker(url, awaited=awaited, retries=Retries(first_wait=0.01)).record_outcomes([outcome])
        assert len(heard) == 1
    receipt = b'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 24\r\n\r\n{"taken":1,"refused":[]}'
    with breaking([b"", receipt]) as (url, heard):
        named = gondola.Outcome("1", "purchase", event_id="e-1")
        asker = Asker(url, awaited=awaited, retries=Retries(first_wait=0.01))
        assert asker.record_outcomes([named]) == gondola.Receipt(taken=1)
        assert len(heard) == 2


@pytest.mark.parametrize("awaited", [False, True])
def test_what_is_no_gondola_is_told(awaited: bool) -> None:
    page = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\n<html"
    other = b'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 7\r\n\r\n{"a":1}'
    for answer, says in ((page, "no JSON"), (other, "not what the API promises")):
        with breaking([answer]) as (url, _), pytest.raises(gondola.UnexpectedAnswer, match=says):
            Asker(url, awaited=awaited).recommend("1")
    proxy = BUSY.replace(b"503 Service Unavailable", b"418 Teapot")
    with breaking([proxy]) as (url, _), pytest.raises(gondola.ApiError, match="418 UNKNOWN: no"):
        Asker(url, awaited=awaited).recommend("1")


@pytest.mark.parametrize("awaited", [False, True])
def test_nobody_there_and_nobody_answering_are_told(awaited: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(gondola.RequestTimeout, match=r"GET .*/v1/recommend.*no answer in time"):
            Asker(url, awaited=awaited, timeout=0.2).recommend("1")
    with pytest.raises(gondola.ConnectionFailed, match=r"GET .*/readyz"):
        Asker(url, awaited=awaited, retries=Retries(first_wait=0.01)).ready()


@pytest.mark.parametrize("awaited", [False, True])
def test_after_a_failure_nothing_more_is_asked(awaited: bool) -> None:
    failed = BUSY.replace(b"503 Service Unavailable", b"500 Oh")
    with breaking([failed] * 50) as (url, heard):
        with pytest.raises(gondola.Internal):
            Asker(url, awaited=awaited).recommend_many([str(user) for user in range(50)])
        # Those that were under way when the first failed, and no others.
        assert 1 <= len(heard) <= 16


def test_not_ready_is_an_answer() -> None:
    with breaking([BUSY]) as (url, heard):
        assert gondola.Client(url).ready() is False
    assert len(heard) == 1


def test_changes_go_to_the_admin_port_and_questions_to_the_other(shop: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        admin = f"127.0.0.1:{free.getsockname()[1]}"
    with gondola.up(EXAMPLE, shop / "store", options=["--admin-listen", admin]) as pipeline:
        with gondola.Client(pipeline.url, admin_url=f"http://{admin}/") as client:
            client.put_user("u", {"age": "45-54"})
            assert client.recommend("u", k=1).degraded == ()
            assert client.ready()
        with gondola.Client(pipeline.url) as client, pytest.raises(gondola.ApiError):
            client.put_user("u", {})


def test_keys_are_sent_and_open_what_they_may(shop: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    digest = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("reader", "writer")}
    (keys / "website").write_text(f"sha256:{digest['reader']} read\nsha256:{digest['writer']} read write\n")
    options = ["--api-keys", str(keys)]
    with gondola.up(EXAMPLE, shop / "store", options=options, api_key="writer") as pipeline:
        pipeline.client.put_user("u", {})
        for awaited in (False, True):
            with pytest.raises(gondola.Unauthenticated, match="authorization"):
                Asker(pipeline.url, awaited=awaited).recommend("1")
            with pytest.raises(gondola.PermissionDenied):
                Asker(pipeline.url, awaited=awaited, api_key="reader").put_user("u", {})
            asked: list[int] = []

            def fresh(asked: list[int] = asked) -> str:
                asked.append(1)
                return "reader"

            assert Asker(pipeline.url, awaited=awaited, token=fresh).recommend("1", k=1).ids
            assert Asker(pipeline.url, awaited=awaited, token="reader").recommend("1", k=1).ids
            assert asked == [1]
    assert "writer" not in repr(gondola.Client("http://h", api_key="writer").__dict__["_settings"])


def test_an_arm_is_shown_to_whom_it_was_signed_for() -> None:
    # By openssl, as docs/security.md has it: printf 'forest\nanna\n1764500400' | openssl dgst -sha256 -hmac arm-key-of-16-bytes
    signed = gondola.sign_arm(b"arm-key-of-16-bytes", "forest", "anna", seconds=3600, now=1764496800)
    assert signed == "1764500400.fe630cd799da8eff81644134334d1a7e7f47c560df47da14d8afa8c357f15459"


def test_settings_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        gondola.Client("http://h", api_key="a", token="b")
    with pytest.raises(ValueError, match="is no URL of a server"):
        gondola.AsyncClient("localhost:8080")


def test_one_client_serves_many_threads(pipeline: gondola.LocalPipeline) -> None:
    answers: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(pipeline.client.recommend("1", k=3).ids))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    assert all(answer == answers[0] for answer in answers)


def test_awaited_questions_are_under_way_together(pipeline: gondola.LocalPipeline) -> None:
    async def ask() -> list[gondola.Answer]:
        async with pipeline.async_client() as client:
            return list(await asyncio.gather(*(client.recommend(str(user), k=1) for user in (1, 13, 18))))

    assert [answer.user for answer in asyncio.run(ask())] == ["1", "13", "18"]
