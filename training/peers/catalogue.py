"""Which packages can be compared, and where each is described."""

import importlib
from dataclasses import dataclass

from peers.model import Model


class NotInstalledError(Exception):
    """A package, or something that it needs, is missing; the text says how to have it."""


@dataclass(frozen=True)
class Package:
    """A package that others publish."""

    # What a comparison calls it.
    name: str
    # What pip calls it, and with which extras.
    distribution: str
    version: str
    extras: str = ""

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.distribution}{self.extras}=={self.version}"

    def models(self) -> list[Model]:
        """Its models. Only this imports the package."""
        module = "peers.packages." + self.name.replace("-", "_")
        try:
            models: list[Model] = importlib.import_module(module).MODELS
        except ModuleNotFoundError as error:
            missing = "" if error.name == self.distribution else f" in full (it lacks {error.name})"
            raise NotInstalledError(
                f"{self.name} is not installed{missing}; pip install {self.requirement}"
            ) from error
        return models


PACKAGES = {
    package.name: package
    for package in [
        Package("implicit", "implicit", "0.7.3"),
        Package("rectools", "rectools", "0.19.0"),
        Package("rectools-transformer", "rectools", "0.19.0", extras="[torch]"),
        Package("recpack", "recpack", "0.3.6"),
        Package("sansa", "sansa", "1.1.0"),
    ]
}
