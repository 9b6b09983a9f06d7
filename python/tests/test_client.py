"""Every method of both clients, against a pipeline."""

from __future__ import annotations

import dataclasses
import inspect
from datetime import datetime, timezone
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import gondola
from conftest import Asker
from gondola import Interaction, Item, Purchase


def test_an_answer_has_items_and_where_they_come_from(ask: Asker, bundles: gondola.Store) -> None:
    answer = ask.recommend("1", k=5, explain=True)
    assert len(answer.items) == 5
    assert len(set(answer.ids)) == 5
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert (answer.user, answer.reason, answer.degraded) == ("1", "Assigned", ())
    assert answer.bundles["scorer"] == bundles.bundle(f"{answer.variant}@stable").digest
    assert set(answer.timing) == {"features", "retrieval", "filter", "scoring", "ordering"}
    assert len(answer.request_id) == 32


def test_a_number_of_a_user_is_their_id(ask: Asker) -> None:
    assert ask.recommend(1, k=3).ids == ask.recommend("1", k=3).ids


def test_somebody_unknown_gets_an_answer_that_says_so(ask: Asker) -> None:
    assert ask.recommend("nobody at all", k=3).degraded == ("unknown_user",)
    assert ask.recommend().reason == "NoUnit"


def test_many_users_are_answered_in_their_order(ask: Asker, bundles: gondola.Store) -> None:
    users = list(bundles.bundle("features@stable").table("users.parquet")["user_id"][:40])
    answers = ask.recommend_many(users, k=2)
    assert [answer.user for answer in answers] == users
    assert answers[7].ids == ask.recommend(users[7], k=2).ids


@pytest.mark.parametrize(
    ("users", "kind"),
    [
        (pd.DataFrame({"user": ["1", "13"]}), pd.DataFrame),
        (pd.Series([1, 13]), pd.DataFrame),
        (pl.DataFrame({"user": [1, 13]}), pl.DataFrame),
        (pl.Series(["1", "13"]), pl.DataFrame),
        (pa.table({"user": ["1", "13"]}), pa.Table),
        (["1", 13], pd.DataFrame),
    ],
)
def test_a_frame_of_users_gives_a_frame_of_its_library(ask: Asker, users: Any, kind: Any) -> None:
    frame = ask.recommend_frame(users, k=2)
    assert isinstance(frame, kind)
    columns: Any = {
        name: list(frame[name].to_pylist() if kind is pa.Table else frame[name]) for name in ("user", "rank")
    }
    assert columns == {"user": ["1", "1", "13", "13"], "rank": [1, 2, 1, 2]}


def test_similar_items_of_an_item_and_of_a_text(ask: Asker) -> None:
    item = ask.recommend("1", k=1).ids[0]
    near = ask.similar(item, k=4)
    assert len(near.items) == 4
    assert item not in near.ids
    assert len(ask.similar(text="SOFT DRINKS", k=3).items) == 3
    with pytest.raises(ValueError, match="one of them"):
        ask.similar(item, text="both")


def test_what_is_bought_together_and_what_became_of_items(ask: Asker) -> None:
    answer = ask.recommend("1", k=3)
    together = ask.similar(bought_with=answer.ids[0], k=3)
    assert answer.ids[0] not in together.ids
    explained = ask.explain("1", [*answer.ids, "no such item"], k=3)
    assert [item.fate for item in explained.items] == ["shown", "shown", "shown", "unknown"]
    assert [item.rank for item in explained.items] == [1, 2, 3, None]
    assert [item.score for item in explained.items[:3]] == [item.score for item in answer.items]
    assert explained.items[0].sources
    assert not explained.items[0].parts
    assert explained.variant == answer.variant
    parts = ask.explain("1", answer.ids, k=3, parts=True).items[0].parts
    sizes = [abs(adds) for adds in parts.values()]
    assert sizes
    assert sizes == sorted(sizes, reverse=True)
    assert all(name.split(".")[0] in ("user", "item", "pair") for name in parts)
    with pytest.raises(gondola.InvalidArgument, match="has 0 items"):
        ask.explain("1", [])


def test_what_the_server_says_is_in_the_error(ask: Asker) -> None:
    with pytest.raises(gondola.NotFound) as caught:
        ask.similar("no such item")
    error = caught.value
    assert (error.status, error.code) == (404, "NOT_FOUND")
    assert "there is no item no such item" in error.message
    assert error.request_id is not None
    assert error.request_id in str(error)
    with pytest.raises(gondola.InvalidArgument, match="k"):
        ask.recommend("1", k=0)
    with pytest.raises(gondola.Unimplemented, match=r"spec\.experiment"):
        ask.record_outcomes([gondola.Outcome("1", "purchase")])
    with pytest.raises(gondola.Unimplemented):
        ask.experiment()


@pytest.mark.parametrize("user", ["Zoë/å?b=1&c#d %2F", "..", "."])
def test_ids_of_any_letters_reach_the_server_as_they_are(ask: Asker, user: str) -> None:
    ask.put_user(user, {"age": "45-54"}, history=[Purchase("1082185", 3, 2.0)])
    assert ask.recommend(user, k=3).degraded == ()
    ask.patch_user(user, {"income": "50-74K"})
    ask.delete_user(user)
    assert ask.recommend(user, k=3).degraded == ("unknown_user",)


def test_a_blocked_item_is_in_no_answer_until_it_is_unblocked(ask: Asker) -> None:
    first = ask.recommend("1", k=3).ids[0]
    ask.patch_item(first, blocked=True)
    assert first not in ask.recommend("1", k=12).ids
    ask.patch_item(first, blocked=False)
    assert ask.recommend("1", k=3).ids[0] == first


def test_an_item_is_put_and_deleted(ask: Asker) -> None:
    ask.put_item("new-1", {"department": "GROCERY", "brand": "National", "product_type": "CHERRY TOMATOES"})
    assert ask.similar("new-1", k=2).items
    ask.delete_item("new-1")
    with pytest.raises(gondola.NotFound):
        ask.similar("new-1", k=2)


def test_a_frame_of_items_is_put_and_tells_which_were_not_taken(ask: Asker) -> None:
    frame = pd.DataFrame(
        {"item": ["f-1", "f-2"], "department": ["GROCERY", None], "mean_price": [2.5, float("nan")]}
    )
    assert ask.put_items(frame) == gondola.Receipt(taken=2)
    mixed = [Item("f-3", {"brand": "National"}), {"item": "f-4", "no_such": 1}, Item("f-5")]
    receipt = ask.put_items(mixed)
    assert receipt.taken == 2
    [refused] = receipt.refused
    assert (refused.index, refused.code) == (1, "INVALID_ARGUMENT")
    assert "no_such" in refused.problem
    with pytest.raises(ValueError, match="1 were not taken: 1: "):
        receipt.raise_for_refused()
    for item in ("f-1", "f-2", "f-3", "f-5"):
        ask.delete_item(item)


def test_more_than_a_server_takes_at_once_goes_in_batches(ask: Asker) -> None:
    items = [Item(f"many-{at}", {"department": "GROCERY"}) for at in range(1200)]
    items[1100] = Item("many-1100", {"no_such": 1})
    receipt = ask.put_items(items)
    assert receipt.taken == 1199
    assert [refused.index for refused in receipt.refused] == [1100]
    for item in items:
        if item.item != "many-1100":
            pass
    ask.put_items([dataclasses.replace(item, blocked=True, features={}) for item in items[:3]])


def test_a_frame_of_users_is_put(ask: Asker) -> None:
    frame = pl.DataFrame({"household": [70001, 70002], "age": ["45-54", None]})
    assert ask.put_users(frame, column="household") == gondola.Receipt(taken=2)
    assert ask.recommend(70002, k=2).degraded == ()
    receipt = ask.put_users([{"user": "x", "shoe_size": 43}, {"user": "70001"}])
    assert receipt.taken == 1
    assert receipt.refused[0].index == 0
    assert "shoe_size" in receipt.refused[0].problem
    with pytest.raises(ValueError, match="no column 'user'"):
        ask.put_users(frame)


def test_a_dislike_counts_in_the_next_answer_and_once(ask: Asker) -> None:
    user = f"dislikes-{ask.awaited}"
    ask.put_user(user, {}, history=[Purchase("1082185", 5, 1.0)])
    first = ask.recommend(user, k=1).ids[0]
    event = Interaction("e-1", user, first, "dislike", event_time=datetime.now(timezone.utc))
    assert ask.record_interactions([event]) == gondola.Receipt(taken=1)
    assert first not in ask.recommend(user, k=12).ids
    again = ask.record_interactions([event])
    assert (again.taken, again.duplicates) == (1, 1)
    frame = pd.DataFrame(
        {"event_id": ["e-2"], "user": [user], "item": ["no such"], "type": ["click"], "price": [None]}
    )
    assert ask.record_interactions(frame).refused[0].code == "NOT_FOUND"
    ask.delete_user(user)


def test_rules_are_put_told_and_taken_back(ask: Asker) -> None:
    rules = gondola.Rules(
        already_bought="keep",
        limit=4,
        diversity=gondola.Diversity("department", 2),
        candidates=gondola.Candidates(popular=20),
        items=(
            gondola.ItemRule("brand", allow=("National", None)),
            gondola.ItemRule("department", deny=("DELI",)),
        ),
    )
    ask.put_rules(rules)
    try:
        assert ask.rules() == rules
        assert len(ask.recommend("1").items) == 4
    finally:
        ask.delete_rules()
    assert ask.rules() == gondola.Rules()
    assert len(ask.recommend("1").items) == 12


def test_what_is_loaded_and_how_it_is(ask: Asker, bundles: gondola.Store) -> None:
    pipeline = ask.pipeline()
    assert (pipeline.name, pipeline.control) == ("complete-journey", "dlrm")
    forest = pipeline.variant("forest")
    assert forest.weight == 50
    assert forest.bundles["scorer"].version in bundles.versions("forest")
    assert forest.summary.as_of == "2017-12-12"
    assert len(forest.summary.inputs) == 42
    with pytest.raises(KeyError, match="there is no variant x; there are dlrm, forest"):
        pipeline.variant("x")
    assert ask.alive() is True
    assert ask.ready() is True
    assert "# TYPE gondola" in ask.metrics()


def test_the_package_has_a_method_for_each_operation_of_the_api(ask: Asker) -> None:
    from gondola import _calls

    described = {
        (method.upper(), path)
        for path, operations in ask.openapi()["paths"].items()
        for method in operations
        if method in {"get", "put", "post", "patch", "delete"}
    }
    some: dict[str, Any] = {
        "user": "U", "item": "U", "items": [Item("i")], "users": ["U"], "rules": gondola.Rules(),
        "interactions": [Interaction("e", "u", "i", "view")], "outcomes": [gondola.Outcome("u", "t")],
    }  # fmt: skip
    calls = set()
    for name in vars(gondola.client._Methods):
        if name.startswith("_") or name == "put_users":
            continue
        describe = getattr(_calls, name)
        required = [
            parameter.name
            for parameter in inspect.signature(describe).parameters.values()
            if parameter.default is inspect.Parameter.empty or parameter.name == "item"
        ]
        # What is explained has ids, and no items that are put.
        given = some | {"items": ["U"]} if name == "explain" else some
        made = describe(**{parameter: given[parameter] for parameter in required})
        for call in made.calls if isinstance(made, _calls.Plan) else [made]:
            calls.add((call.method, call.path.replace("/U", "/{id}")))
    assert calls == described


def test_values_have_the_fields_that_the_api_describes(ask: Asker) -> None:
    schemas = ask.openapi()["components"]["schemas"]

    def fields(kind: type) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    def properties(name: str) -> set[str]:
        return set(schemas[name]["properties"])

    assert fields(gondola.Answer) - {"request_id"} == properties("AnswerBody")
    assert fields(gondola.Explained) == properties("ExplainedBody") - {"user"}
    assert fields(gondola.Explanation) == properties("Explanation")
    assert fields(gondola.Recommendation) == properties("Recommendation")
    assert fields(gondola.Purchase) == properties("PurchaseUpdate")
    assert fields(gondola.Rules) == properties("Rules")
    assert fields(gondola.ItemRule) == properties("ItemRule")
    assert fields(gondola.Candidates) == properties("CandidateRule")
    assert fields(gondola.Receipt) == properties("ReceiptBody")
    assert fields(gondola.Refused) == properties("RefusedBody")
    assert fields(gondola.ArmCounts) == properties("ArmReport")
    assert fields(gondola.ExperimentCounts) == properties("RouterReport")
    assert fields(gondola.VariantSummary) == properties("VariantSummary")
    sent = {"eventId": "event_id", "eventTime": "event_time", "itemId": "item", "requestId": "request_id"}
    assert fields(gondola.Outcome) == {sent.get(name, name) for name in properties("RawOutcome")}


def test_methods_show_what_they_take_and_give(pipeline: gondola.LocalPipeline) -> None:
    signature = inspect.signature(pipeline.client.recommend)
    assert list(signature.parameters)[:2] == ["user", "k"]
    assert signature.return_annotation == "Answer"
    awaited = inspect.signature(pipeline.async_client().recommend)
    assert awaited.return_annotation == "Awaitable[Answer]"
    assert "best items" in (pipeline.client.recommend.__doc__ or "")


@pytest.mark.parametrize("wrong", [7.0, None, True, b"x"])
def test_what_is_no_id_is_not_guessed(ask: Asker, wrong: Any) -> None:
    with pytest.raises(TypeError, match="is no id"):
        ask.recommend(wrong)
    with pytest.raises(ValueError, match="not empty"):
        ask.delete_user("")


def test_a_moment_without_a_time_zone_is_refused(ask: Asker) -> None:
    event = Interaction("e", "1", "1", "view", event_time=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="has no time zone"):
        ask.record_interactions([event])


def test_a_column_that_interactions_lack_is_named(ask: Asker) -> None:
    frame = pd.DataFrame({"event_id": ["1"], "user": ["1"], "item": ["1"], "kind": ["view"]})
    with pytest.raises(ValueError, match="Interaction has no kind; it has event_id, user"):
        ask.record_interactions(frame)
    with pytest.raises(ValueError, match="type"):
        ask.record_interactions([{"event_id": "1", "user": "1", "item": "1"}])
