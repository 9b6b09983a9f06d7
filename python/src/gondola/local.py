"""A whole pipeline on this machine: ``gondola-inference up``, started, waited for and stopped."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import programs
from .client import AsyncClient, Client
from .errors import StartFailed

#: Lines of the log that an error repeats.
LAST_LINES = 20
_READY = re.compile(r"^ready at (https?://\S+)", re.MULTILINE)
_EXPERIMENT = re.compile(r"^experiment \S+ at (https?://\S+)", re.MULTILINE)


def store_url(store: str | os.PathLike[str]) -> str:
    """A store's URL; of a path on this machine its ``file://`` URL."""
    text = os.fspath(store)
    return text if "://" in text else Path(text).resolve().as_uri()


def up(
    pipeline: str | os.PathLike[str] | Mapping[str, Any],
    store: str | os.PathLike[str] | None = None,
    *,
    listen: str = "127.0.0.1:0",
    online_file: str | os.PathLike[str] | None = None,
    wait: float = 120.0,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    program: str | os.PathLike[str] | None = None,
    api_key: str | None = None,
    token: str | None = None,
) -> LocalPipeline:
    """Starts a pipeline and gives it when it is ready; use it in a ``with`` block, or call its ``stop()``.

    :param pipeline: the manifest: a file of YAML, or its content as a mapping.
    :param store: the store with its bundles, a folder or a URL; the one that the manifest names without it.
    :param listen: its address; a free port without it.
    :param online_file: where is kept what is put; without it in a temporary folder that ends with the pipeline.
    :param wait: seconds in which it has to be ready.
    :param options: further options of ``gondola-inference up``.
    :param environment: further variables for it.
    :param program: the program; else what GONDOLA_INFERENCE names, else what is in PATH.
    :param api_key: what its client sends, where `options` ask for API keys; `token` alike.
    """
    found = programs.find("gondola-inference", program)
    folder = Path(tempfile.mkdtemp(prefix="gondola-"))
    try:
        if isinstance(pipeline, Mapping):
            # JSON is YAML.
            manifest = folder / "pipeline.yaml"
            manifest.write_text(json.dumps(pipeline))
        else:
            manifest = Path(pipeline)
        command = [str(found), "up", "--file", str(manifest), "--listen", listen]
        command += ["--online-file", str(online_file or folder / "online.redb")]
        if store is not None:
            command += ["--store", store_url(store)]
        local = LocalPipeline(
            [*command, *options], folder, dict(environment or {}), api_key=api_key, token=token
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        local._wait(wait)
    except BaseException:
        local.stop()
        raise
    return local


class LocalPipeline:
    """A pipeline that runs; :func:`up` starts it."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        environment: dict[str, str],
        *,
        api_key: str | None,
        token: str | None,
    ) -> None:
        self._folder = folder
        self._api_key, self._token = api_key, token
        #: What it was started with.
        self.command = command
        self._log = folder / "log"
        with self._log.open("wb") as log:
            # A group of its own: Ctrl-C in a notebook interrupts a cell, and not the pipeline.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,
            )
        atexit.register(self.stop)
        self._url: str | None = None
        self._client: Client | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._url is None:
            raise StartFailed("the pipeline is not ready")
        return self._url

    @property
    def client(self) -> Client:
        """A client of it, which closes with it."""
        if self._client is None:
            self._client = Client(self.url, api_key=self._api_key, token=self._token, trust_env=False)
        return self._client

    @property
    def experiment_url(self) -> str | None:
        """Where the page of its experiment is, and ``status.json`` beside it; ``None`` without an experiment."""
        found = _EXPERIMENT.search(self.log)
        return found[1] if found else None

    def async_client(self) -> AsyncClient:
        """A new client of it that is awaited."""
        return AsyncClient(self.url, api_key=self._api_key, token=self._token, trust_env=False)

    @property
    def log(self) -> str:
        """What it has said so far; empty after its end."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def stop(self, *, patience: float = 35.0) -> None:
        """Lets requests that are under way finish, and ends it. What ended stays so."""
        atexit.unregister(self.stop)
        if self._client is not None:
            self._client.close()
        if self.running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            ended = not self.running()
            if found := _READY.search(self.log):
                self._url = found[1]
                return
            if ended:
                raise StartFailed(
                    f"the pipeline ended with status {self._process.returncode} before it was ready:\n{self._last()}"
                )
            time.sleep(0.05)
        raise StartFailed(f"the pipeline was not ready within {seconds:g} seconds:\n{self._last()}")

    def _last(self) -> str:
        lines = self.log.splitlines()[-LAST_LINES:]
        return "\n".join(lines) or "(it said nothing)"

    def __enter__(self) -> LocalPipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"at {self._url}" if self.running() else "stopped"
        return f"<LocalPipeline {state}>"
