"""What goes to a pipeline and what comes back, as values that do not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

#: One raw feature value, as a shop's data has it.
Value: TypeAlias = "str | int | float | None"
#: Raw features by column. A column that is absent is null.
Columns: TypeAlias = "Mapping[str, Value]"
#: A moment: milliseconds since 1970, RFC 3339, or a datetime with a time zone.
Moment: TypeAlias = "int | str | datetime"


@dataclass(frozen=True)
class Recommendation:
    """One item of an answer."""

    item: str
    #: The scorer's probability, or the similarity of texts. Compares only within one answer.
    score: float
    #: The chance with which it was drawn at its place, given the items before it; ``None`` where the order is not drawn.
    chance: float | None = None


@dataclass(frozen=True)
class Answer:
    """Items, and where they come from."""

    #: The best first.
    items: tuple[Recommendation, ...]
    #: The variant that answered.
    variant: str
    #: Digests of its bundles, by role.
    bundles: Mapping[str, str]
    #: Why the answer is not all that it could be; empty where it is.
    degraded: tuple[str, ...]
    #: Whom it is for; ``None`` for similar items.
    user: str | None = None
    #: Why this variant answered, such as ``Assigned``.
    reason: str | None = None
    #: Microseconds by stage, where that was asked for.
    timing: Mapping[str, int] | None = None
    #: The request's id: what an outcome or interaction that followed names.
    request_id: str | None = None

    @property
    def ids(self) -> list[str]:
        """The items' ids, the best first."""
        return [item.item for item in self.items]


@dataclass(frozen=True)
class Explanation:
    """What became of an item in the answer for a user."""

    item: str
    #: ``shown``, or where it was lost, such as ``not_found``, ``below_others`` or ``against_rules``.
    fate: str
    #: The sources that named it, each with its place there, counted from 1.
    sources: Mapping[str, int]
    #: What it is ranked by; ``None`` for an item that is not in the catalog, or has no finite score.
    score: float | None = None
    #: Its place by score among what may be shown, counted from 1; ``None`` where it is not among it.
    rank: int | None = None
    #: What each input adds to the score, the most first: the score less what it would be if the input were not known. Empty
    #: unless asked for.
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Explained:
    """What became of items, and where that comes from."""

    #: One for each item that was asked for, in that order.
    items: tuple[Explanation, ...]
    #: The variant that answers this user.
    variant: str
    #: Digests of its bundles, by role.
    bundles: Mapping[str, str]
    #: Why the answer would not be all that it could be; empty where it is.
    degraded: tuple[str, ...]
    #: Why it is this variant, such as ``Assigned``.
    reason: str | None = None
    #: Microseconds by stage.
    timing: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Refused:
    """What was not taken of a batch."""

    #: Its place in the batch, counted from 0.
    index: int
    #: Why, and what to do.
    problem: str
    #: A code of gRPC; ``None`` for outcomes, which have none.
    code: str | None = None


@dataclass(frozen=True)
class Receipt:
    """What came of a batch."""

    #: How many the pipeline has now.
    taken: int
    #: How many of these it had before; 0 for outcomes, of which it is not told.
    duplicates: int = 0
    #: Those that were not taken.
    refused: tuple[Refused, ...] = ()

    def raise_for_refused(self) -> Receipt:
        """Itself, if all were taken; raises :class:`ValueError` with the first three problems otherwise."""
        if self.refused:
            first = "; ".join(f"{refused.index}: {refused.problem}" for refused in self.refused[:3])
            raise ValueError(f"{len(self.refused)} were not taken: {first}")
        return self


@dataclass(frozen=True)
class Purchase:
    """One item that a user bought before."""

    item: str
    #: Number of purchases.
    purchases: float
    #: Days since the last one.
    days_since_last: float
    #: How often, with old ones counted less; left out, each counts as if it were today.
    recent_purchases: float | None = None


@dataclass(frozen=True)
class Item:
    """An item to put: one of :meth:`put_items <gondola.Client.put_items>`."""

    item: str
    features: Columns = field(default_factory=dict)
    #: Whether the item is kept out of every answer.
    blocked: bool = False


@dataclass(frozen=True)
class Interaction:
    """What a user did with an item."""

    #: The client's own: the same event sent again counts once.
    event_id: str
    user: str
    item: str
    type: Literal["view", "click", "basket", "purchase", "dislike"]
    #: When; now where it is left out.
    event_time: Moment | None = None
    #: What was paid in all.
    price: float | None = None
    #: For an experiment whose unit is not the user.
    unit: str | None = None
    #: The request whose answer it followed.
    request_id: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a unit of an experiment did."""

    unit: str
    type: str
    #: How much; 1 where it is left out.
    value: float | None = None
    #: The client's own: the same outcome sent again counts once. Without one it is not sent again after a failure.
    event_id: str | None = None
    event_time: Moment | None = None
    item: str | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class ItemRule:
    """Which items may be found, by the value of a column."""

    column: str
    #: The values that may be found; ``None``: all.
    allow: Sequence[Value] | None = None
    #: The values that may not.
    deny: Sequence[Value] = ()


@dataclass(frozen=True)
class Diversity:
    """How many items of an answer may be alike."""

    column: str
    most: int


@dataclass(frozen=True)
class Candidates:
    """How many candidates each source may give; ``None`` stays as the manifest has it."""

    two_tower: int | None = None
    bought_before: int | None = None
    popular: int | None = None


@dataclass(frozen=True)
class Rules:
    """Rules over those of the manifest; ``None`` stays as the manifest has it."""

    already_bought: Literal["keep", "remove"] | None = None
    #: How many items a request gets that names no number.
    limit: int | None = None
    diversity: Diversity | None = None
    candidates: Candidates | None = None
    #: An item has to pass each of them.
    items: tuple[ItemRule, ...] = ()


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle that is served."""

    reference: str
    version: str
    digest: str


@dataclass(frozen=True)
class VariantSummary:
    """What a variant holds."""

    #: The features' cut-off date.
    as_of: str
    users: int
    items: int
    #: Items that have a text to compare.
    texts: int
    #: Digest of the workflow.
    workflow: str
    #: Inputs of the scorer, in order.
    inputs: tuple[str, ...]
    #: Most candidates of a request.
    candidates: int
    #: Items in an answer if the request says no number.
    limit: int


@dataclass(frozen=True)
class Variant:
    """A variant of a pipeline."""

    name: str
    #: Its share of the users, relative to the sum of all weights.
    weight: int
    #: Its bundles, by role.
    bundles: Mapping[str, LoadedBundle]
    #: ``None`` if it can't be reached now.
    summary: VariantSummary | None = None


@dataclass(frozen=True)
class Pipeline:
    """What is loaded."""

    name: str
    #: The variant that others fall back to.
    control: str
    variants: tuple[Variant, ...]

    def variant(self, name: str) -> Variant:
        """The variant of that name."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        known = ", ".join(variant.name for variant in self.variants)
        raise KeyError(f"there is no variant {name}; there are {known}")


@dataclass(frozen=True)
class ArmCounts:
    """What an arm did since a router started."""

    name: str
    requests: int
    errors: int
    slow: int
    fallbacks: int
    empty: int
    dropped: int


@dataclass(frozen=True)
class ExperimentCounts:
    """What a router says of its experiment, since it started."""

    experiment: str
    epoch: int
    revision: str
    incarnation: str
    #: The control first.
    arms: tuple[ArmCounts, ...]
    outcomes: int
    #: Events that are not in the store yet.
    waiting: int
    problem: str | None = None


#: A JSON object.
Json: TypeAlias = "dict[str, Any]"
