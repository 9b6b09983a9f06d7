"""Triton's client as people have it, unmodified, against a server: over HTTP and gRPC, with tensors as JSON and as bytes.

    python triton.py ADDRESS USER

ends with an error where one way is answered with something else than the others.
"""

import queue
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

ADDRESS, USER = sys.argv[1:]


def refused(ask):
    """What an error says."""
    try:
        ask()
    except InferenceServerException as error:
        return error.message()
    raise AssertionError("it was not refused")


def described(client):
    """What a client sees before it asks."""
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("recommend") and client.is_model_ready("recommend", "1")
    assert not client.is_model_ready("nobody")
    message = refused(lambda: client.get_model_metadata("nobody"))
    assert "there is no model" in message, message
    message = refused(lambda: client.load_model("recommend"))
    assert "the spec of the pipeline says what is served" in message, message
    message = refused(lambda: client.unload_model("recommend"))
    assert "the spec of the pipeline says what is served" in message, message


def text(values):
    return [value.decode() for value in values.flatten()]


def answer(module, client, users, **options):
    """The answer for users, whose ids may be texts or numbers."""
    datatype = {"O": "BYTES", "i": "INT64"}[users.dtype.kind]
    user = module.InferInput("user", users.shape, datatype)
    user.set_data_from_numpy(users, **options)
    count = module.InferInput("k", [1], "INT32")
    count.set_data_from_numpy(np.array([3], dtype=np.int32), **options)
    result = client.infer("recommend", [user, count], request_id="r-7")
    items, scores = result.as_numpy("item"), result.as_numpy("score")
    assert items.shape == scores.shape == (len(users), 3), (items.shape, scores.shape)
    assert scores.dtype == np.float32 and result.as_numpy("count").flatten().tolist() == [3] * len(users)
    return text(items), scores.tolist(), text(result.as_numpy("variant"))


def asks(module, client, others):
    """Texts and numbers, one row and several, and what is wrong."""
    users = np.array([[USER], ["nobody"]], dtype=object)
    found = [answer(module, client, users, **option) for option in others]
    assert all(one == found[0] for one in found), found
    one = answer(module, client, users[:1])
    assert one[0] == found[0][0][:3], (one, found)
    numbers = answer(module, client, np.array([[7]], dtype=np.int64))
    texts = answer(module, client, np.array([["7"]], dtype=object))
    assert numbers == texts, (numbers, texts)

    item = module.InferInput("item", [1, 1], "BYTES")
    item.set_data_from_numpy(np.array([[one[0][0]]], dtype=object))
    similar = client.infer("similar", [item], outputs=[module.InferRequestedOutput("item")])
    assert similar.as_numpy("item").shape[0] == 1
    assert similar.as_numpy("score") is None, "it was not asked for"

    wrong = module.InferInput("age", [1], "INT32")
    wrong.set_data_from_numpy(np.array([3], dtype=np.int32))
    message = refused(lambda: client.infer("recommend", [wrong]))
    assert "has no input" in message, message
    message = refused(lambda: client.infer("scoring", [wrong]))
    assert "is a stage" in message, message
    return found[0]


def scores(module, client):
    """The scores of items that the client names."""
    user = module.InferInput("user", [1, 1], "BYTES")
    user.set_data_from_numpy(np.array([[USER]], dtype=object))
    items = module.InferInput("item", [1, 2], "BYTES")
    items.set_data_from_numpy(np.array([["a", "nowhere"]], dtype=object))
    result = client.infer("score", [user, items])
    assert result.as_numpy("score").shape == (1, 2), result.as_numpy("score")
    assert text(result.as_numpy("fate"))[1] == "unknown", result.as_numpy("fate")
    message = refused(lambda: client.infer("score", [user]))
    assert "needs the input user, and item" in message, message
    return result.as_numpy("score").tolist()


def in_a_stream(client):
    """Several requests over one call, answered in their order; one that is wrong costs no other its answer."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number, (name, user) in enumerate([("recommend", USER), ("nobody", USER), ("recommend", "7")]):
        asked = grpc.InferInput("user", [1, 1], "BYTES")
        asked.set_data_from_numpy(np.array([[user]], dtype=object))
        client.async_stream_infer(name, [asked], request_id=str(number))
    (first, none), (_, wrong), (last, nothing) = (answers.get(timeout=10) for _ in range(3))
    client.stop_stream()
    assert none is None and nothing is None, (none, nothing)
    assert "there is no model" in wrong.message(), wrong
    assert [result.get_response().id for result in (first, last)] == ["0", "2"]
    assert text(first.as_numpy("item"))[0].startswith(f"for-{USER}"), first.as_numpy("item")


def over_http():
    client = http.InferenceServerClient(ADDRESS)
    described(client)
    metadata = client.get_model_metadata("recommend")
    assert metadata["inputs"][0] == {"name": "user", "datatype": "BYTES", "shape": [-1, 1]}, metadata
    assert {"name": "similar", "version": "1", "state": "READY", "reason": ""} in client.get_model_repository_index()
    found = asks(http, client, [{}, {"binary_data": True}, {"binary_data": False}]), scores(http, client)
    statistics = client.get_inference_statistics("recommend")["model_stats"][0]
    assert statistics["inference_stats"]["success"]["count"] > 5, statistics
    steps = client.get_model_config("recommend")["ensemble_scheduling"]["step"]
    scoring = client.get_inference_statistics(steps[3]["model_name"])["model_stats"][0]
    assert scoring["name"] == "scoring" and scoring["inference_stats"]["success"]["ns"] > 0, scoring
    return found


def over_grpc():
    client = grpc.InferenceServerClient(ADDRESS)
    described(client)
    metadata = client.get_model_metadata("recommend", as_json=True)
    assert metadata["inputs"][0] == {"name": "user", "datatype": "BYTES", "shape": ["-1", "1"]}, metadata
    found = asks(grpc, client, [{}]), scores(grpc, client)
    in_a_stream(client)
    statistics = client.get_inference_statistics("scoring").model_stats[0]
    assert statistics.inference_stats.success.ns > 0, statistics
    assert client.get_model_config("recommend").config.ensemble_scheduling.step[0].model_name == "features"
    return found


def main():
    one, other = over_http(), over_grpc()
    assert one == other, (one, other)
    print("tritonclient over HTTP and gRPC: alike")


if __name__ == "__main__":
    main()
