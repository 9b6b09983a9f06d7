"""Reading bundles from a store on this machine: what a channel points to, what a bundle is, and whether it is whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from . import _frames
from .errors import BundleError

_CHANNELS = "channels"
_MANIFEST = "manifest.json"
#: The form of manifests that this package reads.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle."""

    #: Relative to the bundle's folder, with ``/`` between its parts.
    path: str
    #: In bytes.
    size: int
    #: The digest of its content, as hexadecimal digits.
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle is, and what it consists of."""

    name: str
    version: str
    #: ``features``, ``retrieval``, ``scorer`` or ``similarity``.
    kind: str
    #: When it was published, as RFC 3339.
    created: str
    files: tuple[BundleFile, ...]
    #: What it must have in common with the bundles that it is served with, such as ``workflow`` and ``inputs``.
    contract: Mapping[str, Any]


@dataclass(frozen=True)
class Bundle:
    """A bundle in a store on this machine."""

    manifest: Manifest
    #: Of its manifest, and so of all its files.
    digest: str
    folder: Path

    def path(self, file: str) -> Path:
        """Where one of its files is."""
        if all(known.path != file for known in self.manifest.files):
            known_files = ", ".join(known.path for known in self.manifest.files)
            raise BundleError(f"{self.manifest.name} has no file {file}; it has {known_files}")
        return self.folder / file

    def verify(self) -> Bundle:
        """Itself, if each file is there and has the size and the digest that the manifest says."""
        for file in self.manifest.files:
            path = self.folder / file.path
            if not path.is_file():
                raise BundleError(f"{path} is missing; publish the bundle again")
            if path.stat().st_size != file.size or _digest_of(path) != file.sha256:
                raise BundleError(f"{path} is not what the manifest says; publish the bundle again")
        return self

    def json(self, file: str) -> Any:
        """The content of one of its JSON files."""
        return json.loads(self.path(file).read_text(encoding="utf-8"))

    def table(self, file: str, library: _frames.Library = "pandas") -> Any:
        """The content of one of its Parquet files as a frame."""
        return read_parquet(self.path(file), library)


class Store:
    """A store of bundles on this machine: a folder, or a ``file://`` URL.

    Stores elsewhere are read by Gondola's programs; copy a bundle's folder here to look into it.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        text = os.fspath(location)
        if "://" in text:
            parts = urlsplit(text)
            if parts.scheme != "file":
                raise BundleError(
                    f"{text} is not on this machine; copy it here, or give a folder or a file:// URL"
                )
            text = unquote(parts.path)
        #: Its folder.
        self.folder = Path(text)
        if not self.folder.is_dir():
            raise BundleError(f"there is no store at {self.folder}")

    def names(self) -> list[str]:
        """The names of its bundles."""
        return sorted(path.name for path in self.folder.iterdir() if (path / _CHANNELS).is_dir())

    def channels(self, name: str) -> dict[str, str]:
        """The channels of a bundle, and the version that each points to."""
        folder = self.folder / name / _CHANNELS
        if not folder.is_dir():
            raise BundleError(
                f"{self.folder} has no bundle {name} with channels; it has {', '.join(self.names())}"
            )
        return {path.stem: _object(path)["version"] for path in sorted(folder.glob("*.json"))}

    def versions(self, name: str) -> list[str]:
        """The versions of a bundle that are there."""
        return sorted(path.parent.name for path in (self.folder / name).glob(f"*/{_MANIFEST}"))

    def bundle(self, reference: str) -> Bundle:
        """The bundle that ``name@channel`` or ``name/version`` names. Its manifest is checked; its files by `verify`."""
        expected = None
        if "@" in reference:
            name, _, channel = reference.partition("@")
            if channel not in self.channels(name):
                raise BundleError(f"{name} has no channel {channel}; it has {', '.join(self.channels(name))}")
            pointer = _object(self.folder / name / _CHANNELS / f"{channel}.json")
            version, expected = pointer["version"], pointer["digest"]
        else:
            name, slash, version = reference.partition("/")
            if not slash:
                raise BundleError(
                    f"{reference!r} names no version; write {reference}@stable, or name/version"
                )
        folder = self.folder / name / version
        path = folder / _MANIFEST
        if not path.is_file():
            raise BundleError(f"{reference}: there is no {path}")
        content = path.read_bytes()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if expected is not None and digest != expected:
            raise BundleError(f"{path} was altered: the channel says {expected}, and it is {digest}")
        return Bundle(_manifest(content, path, (name, version)), digest, folder)


def read_parquet(path: Path, library: _frames.Library = "pandas") -> Any:
    """A Parquet file as a frame."""
    if library == "pyarrow":
        return _frames.load("pyarrow.parquet", "Parquet files").read_table(path, partitioning=None)
    if library == "polars":
        return _frames.load("polars", "frames of polars").read_parquet(path)
    return _frames.load("pandas", "frames of pandas").read_parquet(path)


def _manifest(content: bytes, path: Path, place: tuple[str, str]) -> Manifest:
    try:
        body = json.loads(content)
        if body["format_version"] != FORMAT_VERSION:
            raise BundleError(
                f"{path} has format version {body['format_version']}; this reads {FORMAT_VERSION}"
            )
        files = tuple(BundleFile(file["path"], file["size"], file["sha256"]) for file in body["files"])
        manifest = Manifest(
            body["name"], body["version"], body["kind"], body["created"], files, body["contract"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} is no manifest; publish the bundle again") from error
    if (manifest.name, manifest.version) != place:
        raise BundleError(f"{path} is the manifest of {manifest.name}/{manifest.version}")
    for file in files:
        parts = PurePosixPath(file.path)
        if parts.is_absolute() or ".." in parts.parts or "\\" in file.path:
            raise BundleError(f"{path} has a file outside of its folder: {file.path}")
    return manifest


def _object(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{path} is no JSON") from error
    if not isinstance(found, dict):
        raise BundleError(f"{path} is no JSON object")
    return found


def _digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
