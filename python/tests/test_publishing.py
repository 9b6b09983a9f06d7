"""Models of each library, from their objects to their scores as served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gondola
from conftest import BUNDLES


@dataclass
class Rows:
    """Pairs of users and items, and whether they were bought: enough to train something on."""

    x: Any
    y: Any
    categorical: list[str]


@pytest.fixture(scope="module")
def features(bundles: gondola.Store) -> gondola.Features:
    return gondola.Features(bundles.bundle("features@stable"))


@pytest.fixture(scope="module")
def rows(features: gondola.Features) -> Rows:
    bought = features.history.sample(1500, random_state=1)
    others = features.items.index.to_numpy()[
        np.random.default_rng(1).integers(len(features.items), size=1500)
    ]
    users = [*bought["user"], *bought["user"]]
    x = features.pairs(users, [*bought["item"], *others])
    # Noise, so that no single input tells all.
    y = np.r_[np.ones(1500), np.zeros(1500)].astype(int)
    y[::7] = 1 - y[::7]
    return Rows(x, y, features.categorical)


def lightgbm(rows: Rows) -> tuple[Any, Callable[[Any], Any]]:
    lgb = pytest.importorskip("lightgbm")
    data = lgb.Dataset(rows.x, rows.y, categorical_feature=rows.categorical)
    model = lgb.train({"objective": "binary", "verbose": -1, "num_leaves": 15}, data, 20)
    return model, model.predict


def xgboost(rows: Rows) -> tuple[Any, Callable[[Any], Any]]:
    xgb = pytest.importorskip("xgboost")
    cut = len(rows.y) * 3 // 4
    order = np.random.default_rng(2).permutation(len(rows.y))
    train, test = order[:cut], order[cut:]
    model = xgb.XGBClassifier(n_estimators=60, max_depth=4, early_stopping_rounds=2, learning_rate=0.8)
    model.fit(rows.x.iloc[train], rows.y[train], eval_set=[(rows.x.iloc[test], rows.y[test])], verbose=False)
    assert model.best_iteration < model.get_booster().num_boosted_rounds() - 1, "it has trees after the best"
    return model, lambda x: model.predict_proba(x)[:, 1]


def catboost(rows: Rows) -> tuple[Any, Callable[[Any], Any]]:
    cat = pytest.importorskip("catboost")
    model = cat.CatBoostClassifier(iterations=20, depth=4, verbose=False, allow_writing_files=False)
    model.fit(rows.x, rows.y)
    return model, lambda x: model.predict_proba(x)[:, 1]


def scikit_learn(rows: Rows) -> tuple[Any, Callable[[Any], Any]]:
    ensemble = pytest.importorskip("sklearn.ensemble")
    model = ensemble.RandomForestClassifier(20, max_depth=6, random_state=0).fit(rows.x, rows.y)
    return model, lambda x: model.predict_proba(x)[:, 1]


LIBRARIES = {model.__name__.replace("_", "-"): model for model in (lightgbm, xgboost, catboost, scikit_learn)}


@pytest.fixture(scope="module")
def served(shop: Path, rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """A pipeline with a variant of each library, and how the libraries themselves predict."""
    import shutil

    store = Path(shutil.copytree(shop / "store", tmp_path_factory.mktemp("published") / "store"))
    predict = {}
    for name, train in LIBRARIES.items():
        model, predict[name] = train(rows)
        published = gondola.publish(model, name=f"my-{name}", store=store, channel="canary")
        assert published.reference == f"my-{name}@canary"
        bundle = gondola.Store(store).bundle(published.reference).verify()
        assert (bundle.manifest.version, bundle.digest) == (published.version, published.digest)
        again = gondola.publish(model, name=f"my-{name}", store=store)
        assert (again.version, again.channel) == (published.version, None), (
            "the same content is the same version"
        )
        assert again.reference == f"my-{name}/{published.version}"
    manifest = {
        "apiVersion": "gondola.dev/v1alpha1",
        "kind": "RecommenderPipeline",
        "metadata": {"name": "libraries", "namespace": "default"},
        "spec": {
            "artifacts": {"url": gondola.store_url(store)},
            "features": {"bundle": "features@stable"},
            "retrieval": {"bundle": "two-tower@stable", "candidates": 100},
            "control": "lightgbm",
            "variants": [{"name": name, "scorer": f"my-{name}@canary", "weight": 1} for name in LIBRARIES],
        },
    }
    with gondola.up(manifest) as pipeline:
        yield pipeline, predict


def test_what_is_served_scores_as_its_own_library_does(served: Any, features: gondola.Features) -> None:
    pipeline, predict = served
    answers = pipeline.client.recommend_many(list(features.users.index[:160]), k=12)
    variants = {answer.variant for answer in answers}
    assert variants == set(LIBRARIES)
    for variant in sorted(variants):
        of_it = [answer for answer in answers if answer.variant == variant]
        users = [answer.user for answer in of_it for _ in answer.items]
        items = [item for answer in of_it for item in answer.ids]
        scores = [item.score for answer in of_it for item in answer.items]
        expected = predict[variant](features.pairs(users, items))
        np.testing.assert_allclose(scores, expected, atol=1e-5, err_msg=variant)


def test_the_inputs_are_those_that_features_gives(shop: Path, features: gondola.Features) -> None:
    listed = gondola.inputs(shop / "store")
    assert [each.name for each in listed] == features.inputs
    assert [each.name for each in listed if each.categorical] == features.categorical
    assert all(
        features.pairs(["1"], ["1082185"]).iloc[0][each.name] < each.values for each in listed if each.values
    )
    assert features.as_of == "2017-12-12"
    with pytest.raises(KeyError, match="no item 'nothing'"):
        features.pairs(["1"], ["nothing"])


def test_only_a_bundle_of_features_has_features(bundles: gondola.Store) -> None:
    with pytest.raises(gondola.BundleError, match="kind scorer, not features"):
        gondola.Features(bundles.bundle("forest@stable"))


def test_onnx_is_published_as_it_is(own_store: Path, rows: Rows) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    skl2onnx = pytest.importorskip("skl2onnx")
    onnx = pytest.importorskip("onnx")
    model = ensemble.RandomForestClassifier(5, max_depth=4, random_state=0).fit(rows.x.to_numpy(), rows.y)
    exported = skl2onnx.to_onnx(model, rows.x.to_numpy()[:1], options={"zipmap": False})
    by_object = gondola.publish(exported, name="by-object", store=own_store)
    by_bytes = gondola.publish(exported.SerializeToString(), name="by-bytes", store=own_store)
    path = own_store.parent / "model.onnx"
    onnx.save(exported, str(path))
    by_path = gondola.publish(path, name="by-path", store=own_store)
    files = {
        gondola.Store(own_store).bundle(each.reference).manifest.files
        for each in (by_object, by_bytes, by_path)
    }
    assert len(files) == 1


def test_models_that_do_not_fit_are_refused_with_the_reason(own_store: Path, rows: Rows) -> None:
    lgb = pytest.importorskip("lightgbm")
    ensemble = pytest.importorskip("sklearn.ensemble")

    def refused(model: Any, says: str, **options: Any) -> None:
        arguments: dict[str, Any] = {"name": "x", "store": own_store} | options
        with pytest.raises(gondola.PublishFailed, match=says):
            gondola.publish(model, **arguments)

    fewer = rows.x.iloc[:, :5]
    refused(lgb.train({"verbose": -1}, lgb.Dataset(fewer, rows.y), 2), "5")
    swapped = rows.x[[*rows.x.columns[1:], rows.x.columns[0]]]
    forest = ensemble.RandomForestClassifier(2, max_depth=2)
    refused(forest, "is not fitted yet")
    refused(
        forest.fit(swapped, rows.y), "input 0 is 'user.popular_product_type' and has to be 'user.home_store'"
    )
    refused(forest.fit(fewer, rows.y), "it has 5 and 42 are needed")
    refused({"a": 1}, r"builtins\.dict can't be published")
    refused(b"no model", "model.onnx")
    refused("/no/such/model", "there is no /no/such/model")
    good = lgb.train({"verbose": -1}, lgb.Dataset(rows.x, rows.y), 2)
    refused(good, "not a valid bundle name", name="No Name")
    refused(good, "scorer bundle, not a features bundle", features="forest@stable")
    assert gondola.Store(own_store).names() == BUNDLES


def test_a_module_of_pytorch_is_exported(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    from gondola.publishing import ModelInput, save

    module = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Sigmoid())
    path = save(module, tmp_path, lambda: [ModelInput(name, None) for name in "abc"])
    graph = onnx.load(str(path)).graph
    assert [each.name for each in graph.input] == ["inputs"]
    assert [each.name for each in graph.output] == ["scores"]
    assert module.training
