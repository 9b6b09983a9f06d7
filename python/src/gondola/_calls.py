"""Every request of the HTTP API, described as data.

A :class:`Call` says what is sent, whether it may be sent twice, and how the answer is read; a :class:`Plan` is several of
them with one result. Nothing here does I/O: the two clients send what is described here, one waiting and one awaiting.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from . import _frames
from .errors import ApiError, InvalidArgument, NotFound, Unavailable, UnexpectedAnswer, of_answer
from .types import (
    Answer,
    ArmCounts,
    Candidates,
    Columns,
    Diversity,
    ExperimentCounts,
    Explained,
    Explanation,
    Interaction,
    Item,
    ItemRule,
    Json,
    LoadedBundle,
    Outcome,
    Pipeline,
    Purchase,
    Receipt,
    Recommendation,
    Refused,
    Rules,
    Value,
    Variant,
    VariantSummary,
)

T = TypeVar("T")

#: The most that a server takes at once.
MAX_BATCH = 1000
#: Below the server's bound of 1 MiB for a body, by what stands around the entries.
MAX_BATCH_BYTES = 1_000_000
#: How many questions are asked at once where there are many.
TOGETHER = 8


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    content: bytes
    request_id: str | None = None

    def json(self) -> Any:
        """The body, which has to be JSON."""
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise UnexpectedAnswer(f"the body of the answer is no JSON: {self.content[:200]!r}") from error


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request."""

    method: str
    path: str
    #: Turns a reply that is no error into the result.
    read: Callable[[Reply], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether it is on the admin port, where there are two.
    admin: bool = True
    #: Whether the same request sent twice is the same as sent once.
    repeatable: bool = True

    def result(self, reply: Reply) -> T:
        """The result of a reply, or the error that it is, raised."""
        if reply.status >= 400:
            raise error_of(reply)
        try:
            return self.read(reply)
        except (KeyError, TypeError, AttributeError) as error:
            raise UnexpectedAnswer(
                f"{self.method} {self.path} answered {reply.content[:200]!r}, which is not what the API promises"
            ) from error


@dataclass(frozen=True)
class Plan(Generic[T]):
    """Several requests, and what they come to."""

    calls: Sequence[Call[Any]]
    #: Makes the result of what each call came to: its result, or an error of one of the kinds in `kept`.
    merge: Callable[[list[Any]], T]
    #: Errors that are part of the result; any other ends the plan.
    kept: tuple[type[ApiError], ...] = ()
    #: How many may be under way at once. Changes go one after another, in their order.
    together: int = 1


def error_of(reply: Reply) -> ApiError:
    """The error that a reply is. A proxy on the way answers in its own words."""
    try:
        detail = json.loads(reply.content)["error"]
        code, message = str(detail["code"]), str(detail["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "UNKNOWN", reply.content[:500].decode(errors="replace").strip() or "an empty answer"
    return of_answer(reply.status, code, message, reply.request_id)


##### Questions


def recommend(
    user: str | int = "",
    *,
    k: int | None = None,
    explain: bool = False,
    arm: str | None = None,
    arm_signature: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Call[Answer]:
    """The best items for a user; for nobody in particular without one.

    :param k: how many; the pipeline's default and maximum without it.
    :param explain: whether the answer has the microseconds of each stage.
    :param arm: the arm of an experiment that a tester wants to see.
    :param arm_signature: what :func:`gondola.sign_arm` gives, where the server asks for it.
    :param headers: further headers, such as that of the experiment's unit.
    """
    sent = dict(headers or {})
    if arm is not None:
        sent["x-gondola-arm"] = arm
    if arm_signature is not None:
        sent["x-gondola-arm-signature"] = arm_signature
    query = _query(user=_frames.identifier(user), k=k, explain=explain)
    return Call("GET", "/v1/recommend", _answer, query=query, headers=sent, admin=False)


def recommend_many(
    users: Iterable[str | int], *, k: int | None = None, headers: Mapping[str, str] | None = None
) -> Plan[list[Answer]]:
    """The best items for each of some users, in their order; several are asked for at once.

    For everybody's lists ``gondola batch`` is faster.
    """
    return Plan([recommend(user, k=k, headers=headers) for user in users], list, together=TOGETHER)


def recommend_frame(
    users: Any, *, k: int | None = None, column: str = "user", into: _frames.Library | None = None
) -> Plan[Any]:
    """The best items for each of some users as a frame: user, rank, item, score, variant, degraded.

    :param users: a frame with such a column, a series or a list of ids.
    :param column: the column of `users` that has the ids.
    :param into: the library of the result; that of `users` without it, pandas for a list.
    """
    ids = _frames.ids_of(users, column)
    library = into or _frames.library_of(users) or "pandas"

    def frame(answers: list[Answer]) -> Any:
        rows = [
            (answer.user, rank, item.item, item.score, answer.variant, ",".join(answer.degraded))
            for answer in answers
            for rank, item in enumerate(answer.items, start=1)
        ]
        names = ["user", "rank", "item", "score", "variant", "degraded"]
        return _frames.frame({name: [row[at] for row in rows] for at, name in enumerate(names)}, library)

    asked = recommend_many(ids, k=k)
    return Plan(asked.calls, frame, together=asked.together)


def similar(
    item: str | int | None = None,
    *,
    text: str | None = None,
    bought_with: str | int | None = None,
    k: int | None = None,
    explain: bool = False,
) -> Call[Answer]:
    """The items that are most like an item, or like a text, or that are bought with an item: one of these."""
    if sum(wish is not None for wish in (item, text, bought_with)) != 1:
        raise ValueError(
            "similar() is asked with an item, with text=... or with bought_with=..., one of them"
        )

    def identifier(item: str | int | None) -> str | None:
        return None if item is None else _frames.identifier(item)

    query = _query(
        item=identifier(item), text=text, bought_with=identifier(bought_with), k=k, explain=explain
    )
    return Call("GET", "/v1/similar", _answer, query=query, admin=False)


def explain(
    user: str | int,
    items: Iterable[str | int],
    *,
    k: int | None = None,
    parts: bool = False,
    arm: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Call[Explained]:
    """Why items are in the answer for a user, or where they are lost, with the score of each.

    Nobody is shown anything: an experiment counts no exposure.

    :param items: at most 1,000.
    :param k: how many items the answer has; the pipeline's default without it.
    :param parts: whether to say what each input adds to the scores; of 100 items at most.
    :param arm: the arm of an experiment whose variant is asked.
    :param headers: further headers, such as that of the experiment's unit.
    """
    sent = dict(headers or {})
    if arm is not None:
        sent["x-gondola-arm"] = arm
    body: Json = {"user": _frames.identifier(user), "items": [_frames.identifier(item) for item in items]}
    if k is not None:
        body["k"] = k
    if parts:
        body["parts"] = True
    return Call("POST", "/v1/explain", _explained, body=_json(body), headers=sent)


##### Users


def put_user(
    user: str | int, features: Columns | None = None, *, history: Iterable[Purchase] | None = None
) -> Call[None]:
    """Adds a user, or replaces the user's features: a column that is absent is null.

    :param history: replaces what the user bought; left out, that stays.
    """
    return Call("PUT", _path("users", user), _nothing, body=_user(features, history))


def patch_user(
    user: str | int, features: Columns | None = None, *, history: Iterable[Purchase] | None = None
) -> Call[None]:
    """Changes these columns of a user alone."""
    return Call("PATCH", _path("users", user), _nothing, body=_user(features, history))


def delete_user(user: str | int) -> Call[None]:
    """Forgets a user, with what the bundles know of them, until they are put again."""
    return Call("DELETE", _path("users", user), _nothing)


def put_users(users: Any, *, column: str = "user") -> Plan[Receipt]:
    """Puts each row of a frame (or each of a list of mappings) as a user, one after another.

    :param column: the column that has the ids; all others are features.
    """
    calls = []
    for row in _frames.rows_of(users):
        if column not in row:
            raise ValueError(f"users have no column {column!r}; name the one with their ids: column=...")
        calls.append(put_user(row[column], {name: value for name, value in row.items() if name != column}))

    def receipt(results: list[ApiError | None]) -> Receipt:
        refused = tuple(
            Refused(index, error.message, error.code)
            for index, error in enumerate(results)
            if isinstance(error, ApiError)
        )
        return Receipt(taken=len(results) - len(refused), refused=refused)

    return Plan(calls, receipt, kept=(InvalidArgument, NotFound))


##### Items


def put_item(item: str | int, features: Columns | None = None, *, blocked: bool = False) -> Call[None]:
    """Adds an item, or replaces the item's features: a column that is absent is null."""
    body = {"features": _features(features), "blocked": blocked}
    return Call("PUT", _path("items", item), _nothing, body=_json(body))


def patch_item(
    item: str | int, features: Columns | None = None, *, blocked: bool | None = None
) -> Call[None]:
    """Changes these columns of an item alone, or whether it may be shown."""
    body: Json = {"features": _features(features)}
    if blocked is not None:
        body["blocked"] = blocked
    return Call("PATCH", _path("items", item), _nothing, body=_json(body))


def delete_item(item: str | int) -> Call[None]:
    """Takes an item out of the catalog."""
    return Call("DELETE", _path("items", item), _nothing)


def put_items(items: Any, *, column: str = "item") -> Plan[Receipt]:
    """Adds or replaces items: a frame, or a list of :class:`Item` or of mappings. One that is wrong costs the others nothing.

    :param column: the column of a frame that has the ids; ``blocked`` is what it says, all others are features.
    """
    entries = [_item(item, column) for item in _frames.entries_of(items, Item)]
    return _batches("/v1/items:batch", "items", entries)


##### What users do


def record_interactions(interactions: Any) -> Plan[Receipt]:
    """Tells what users did, for their next answer: :class:`Interaction` values, or a frame with columns of these names."""
    entries = []
    for given in _frames.entries_of(interactions, Interaction):
        interaction = _made(Interaction, given)
        entries.append(
            _without_none(
                event_id=_frames.identifier(interaction.event_id),
                user=_frames.identifier(interaction.user),
                item=_frames.identifier(interaction.item),
                type=interaction.type,
                event_time=_moment(interaction.event_time),
                price=_value(interaction.price),
                unit=_optional(interaction.unit),
                request_id=interaction.request_id,
            )
        )
    return _batches("/v1/interactions", "interactions", entries)


def record_outcomes(outcomes: Any) -> Plan[Receipt]:
    """Tells what units of an experiment did: :class:`Outcome` values, or a frame with columns of these names.

    A batch of which every outcome has an ``event_id`` is sent again after a failure; any other only if the server refused it.
    """
    made = [_made(Outcome, given) for given in _frames.entries_of(outcomes, Outcome)]
    entries = [
        _without_none(
            unit=_frames.identifier(outcome.unit),
            type=outcome.type,
            value=_value(outcome.value),
            eventId=_optional(outcome.event_id),
            eventTime=_moment(outcome.event_time),
            itemId=_optional(outcome.item),
            requestId=outcome.request_id,
        )
        for outcome in made
    ]
    repeatable = all(outcome.event_id is not None for outcome in made)
    return _batches("/v1/outcomes", "outcomes", entries, repeatable=repeatable)


##### Rules, and what is loaded


def rules() -> Call[Rules]:
    """The rules that were put over those of the manifest."""
    return Call("GET", "/v1/rules", lambda reply: _rules(reply.json()))


def put_rules(rules: Rules) -> Call[None]:
    """Replaces the rules over those of the manifest, in every pod and without a restart."""
    body = _without_none(
        already_bought=rules.already_bought,
        limit=rules.limit,
        diversity=rules.diversity and dataclasses.asdict(rules.diversity),
        candidates=rules.candidates and _without_none(**dataclasses.asdict(rules.candidates)),
        items=[
            _without_none(
                column=rule.column,
                allow=None if rule.allow is None else [_value(value) for value in rule.allow],
                deny=[_value(value) for value in rule.deny],
            )
            for rule in rules.items
        ],
    )
    return Call("PUT", "/v1/rules", _nothing, body=_json(body))


def delete_rules() -> Call[None]:
    """Goes back to the rules of the manifest."""
    return Call("DELETE", "/v1/rules", _nothing)


def pipeline() -> Call[Pipeline]:
    """What is loaded, with versions and digests."""
    return Call("GET", "/v1/pipeline", lambda reply: _pipeline(reply.json()))


def experiment() -> Call[ExperimentCounts]:
    """What each arm of the running experiment did since this router started."""
    return Call("GET", "/v1/experiment", lambda reply: _experiment(reply.json()))


def alive() -> Plan[bool]:
    """Whether the server's process answers as one that lives."""
    return _health("/healthz")


def ready() -> Plan[bool]:
    """Whether requests are answered: ``False`` while it loads or stops. No answer at all is an error."""
    return _health("/readyz")


def metrics() -> Call[str]:
    """Counts and times, as OpenMetrics text."""
    return Call("GET", "/metrics", lambda reply: reply.content.decode())


def openapi() -> Call[Json]:
    """The API's own description."""
    return Call("GET", "/openapi.json", lambda reply: dict(reply.json()), admin=False)


##### How bodies are written


def _health(path: str) -> Plan[bool]:
    # "Not ready" is an answer here, not something to ask for again.
    call = Call("GET", path, lambda _: True, repeatable=False)
    return Plan([call], lambda results: results == [True], kept=(Unavailable,))


def _batches(path: str, name: str, entries: Sequence[Json], *, repeatable: bool = True) -> Plan[Receipt]:
    starts: list[int] = []
    calls: list[Call[Receipt]] = []
    for start, batch in _cut([_json(entry) for entry in entries]):
        body = b'{"' + name.encode() + b'": [' + b",".join(batch) + b"]}"
        starts.append(start)
        calls.append(Call("POST", path, _receipt, body=body, repeatable=repeatable))

    def merged(receipts: list[Receipt]) -> Receipt:
        refused = [
            dataclasses.replace(refused, index=start + refused.index)
            for start, receipt in zip(starts, receipts, strict=True)
            for refused in receipt.refused
        ]
        return Receipt(
            taken=sum(receipt.taken for receipt in receipts),
            duplicates=sum(receipt.duplicates for receipt in receipts),
            refused=tuple(refused),
        )

    return Plan(calls, merged)


def _cut(entries: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Pieces that a server takes at once, each with the place of its first entry."""
    start, size = 0, 0
    for at, entry in enumerate(entries):
        if at > start and (at - start == MAX_BATCH or size + len(entry) + 1 > MAX_BATCH_BYTES):
            yield start, entries[start:at]
            start, size = at, 0
        size += len(entry) + 1
    if start < len(entries):
        yield start, entries[start:]


def _path(kind: str, of: str | int) -> str:
    name = _frames.identifier(of)
    if not name:
        raise ValueError("an id is not empty")
    # A client of HTTP would follow "." and ".." to another path.
    quoted = name.replace(".", "%2E") if name in {".", ".."} else quote(name, safe="")
    return f"/v1/{kind}/{quoted}"


def _query(*, explain: bool, **parts: str | int | None) -> dict[str, str]:
    query = {name: str(part) for name, part in parts.items() if part is not None}
    return query | ({"explain": "timing"} if explain else {})


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _without_none(**parts: Any) -> Json:
    return {name: part for name, part in parts.items() if part is not None}


def _value(value: Any) -> Value:
    plain: Value = _frames.plain(value)
    return plain


def _optional(value: str | int | None) -> str | None:
    return None if value is None else _frames.identifier(value)


def _features(features: Columns | None) -> dict[str, Value]:
    return {str(name): _value(value) for name, value in (features or {}).items()}


def _user(features: Columns | None, history: Iterable[Purchase] | None) -> bytes:
    body: Json = {"features": _features(features)}
    if history is not None:
        body["history"] = [_without_none(**dataclasses.asdict(purchase)) for purchase in history]
    return _json(body)


def _item(item: Item | Mapping[str, Any], column: str) -> Json:
    if isinstance(item, Item):
        return {
            "item": _frames.identifier(item.item),
            "features": _features(item.features),
            "blocked": item.blocked,
        }
    if column not in item:
        raise ValueError(f"items have no column {column!r}; name the one with their ids: column=...")
    features = {name: value for name, value in item.items() if name not in {column, "blocked"}}
    return {
        "item": _frames.identifier(item[column]),
        "features": _features(features),
        "blocked": bool(item.get("blocked") or False),
    }


def _made(kind: type[T], given: T | Mapping[str, Any]) -> T:
    if isinstance(given, kind):
        return given
    assert isinstance(given, Mapping)
    known = [part.name for part in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(map(str, unknown))}; it has {', '.join(known)}")
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(str(error).replace("__init__()", kind.__name__)) from error


def _moment(moment: Any) -> int | str | None:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone; give it one, such as {moment.isoformat()}+00:00")
        return round(moment.timestamp() * 1000)
    plain = _frames.plain(moment)
    if plain is None or isinstance(plain, str):
        return plain
    return int(plain)


##### How answers are read


def _nothing(_: Reply) -> None:
    return None


def _answer(reply: Reply) -> Answer:
    body = reply.json()
    return Answer(
        items=tuple(
            Recommendation(item["item"], item["score"], item.get("chance")) for item in body["items"]
        ),
        variant=body["variant"],
        bundles=body["bundles"],
        degraded=tuple(body["degraded"]),
        user=body.get("user"),
        reason=body.get("reason"),
        timing=body.get("timing"),
        request_id=reply.request_id,
    )


def _explained(reply: Reply) -> Explained:
    body = reply.json()

    def explanation(item: Json) -> Explanation:
        sources = {at["source"]: at["place"] for at in item["sources"]}
        parts = {part["input"]: part["adds"] for part in item.get("parts", ())}
        return Explanation(item["item"], item["fate"], sources, item.get("score"), item.get("rank"), parts)

    return Explained(
        items=tuple(explanation(item) for item in body["items"]),
        variant=body["variant"],
        bundles=body["bundles"],
        degraded=tuple(body["degraded"]),
        reason=body.get("reason"),
        timing=body.get("timing"),
    )


def _receipt(reply: Reply) -> Receipt:
    body = reply.json()
    refused = tuple(Refused(one["index"], one["problem"], one.get("code")) for one in body["refused"])
    return Receipt(body["taken"], body.get("duplicates", 0), refused)


def _rules(body: Json) -> Rules:
    diversity, candidates = body.get("diversity"), body.get("candidates")
    return Rules(
        already_bought=body.get("already_bought"),
        limit=body.get("limit"),
        diversity=diversity and Diversity(diversity["column"], diversity["most"]),
        candidates=candidates
        and Candidates(
            candidates.get("two_tower"), candidates.get("bought_before"), candidates.get("popular")
        ),
        items=tuple(
            ItemRule(
                rule["column"],
                None if rule.get("allow") is None else tuple(rule["allow"]),
                tuple(rule.get("deny") or ()),
            )
            for rule in body.get("items") or ()
        ),
    )


def _pipeline(body: Json) -> Pipeline:
    variants = tuple(
        Variant(
            name=variant["name"],
            weight=variant["weight"],
            bundles={
                role: LoadedBundle(bundle["reference"], bundle["version"], bundle["digest"])
                for role, bundle in variant["bundles"].items()
            },
            summary=_summary(variant.get("summary")),
        )
        for variant in body["variants"]
    )
    return Pipeline(body["pipeline"], body["control"], variants)


def _summary(body: Json | None) -> VariantSummary | None:
    if body is None:
        return None
    known = {part.name: body[part.name] for part in dataclasses.fields(VariantSummary)}
    return VariantSummary(**known | {"inputs": tuple(body["inputs"])})


def _experiment(body: Json) -> ExperimentCounts:
    names = [part.name for part in dataclasses.fields(ArmCounts)]
    return ExperimentCounts(
        experiment=body["experiment"],
        epoch=body["epoch"],
        revision=body["revision"],
        incarnation=body["incarnation"],
        arms=tuple(ArmCounts(**{name: arm[name] for name in names}) for arm in body["arms"]),
        outcomes=body["outcomes"],
        waiting=body["waiting"],
        problem=body.get("problem"),
    )
