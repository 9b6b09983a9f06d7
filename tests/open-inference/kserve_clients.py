"""KServe's clients as people have them, unmodified, against a server: over HTTP and gRPC.

    python kserve_clients.py ADDRESS USER

ends with an error where one is answered with something else than the other.
"""

import asyncio
import sys

from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

ADDRESS, USER = sys.argv[1:]


def items(response):
    """Items of a response, however its data came."""
    item = next(output for output in response.outputs if output.name == "item")
    values = item.as_numpy().flatten().tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in values]


async def main():
    user = InferInput("user", [1, 1], "BYTES", data=[USER])
    count = InferInput("k", [1], "INT32", data=[3])
    request = InferRequest(model_name="recommend", infer_inputs=[user, count])
    rest, url = InferenceRESTClient(RESTConfig(protocol="v2")), f"http://{ADDRESS}"
    assert await rest.is_server_ready(url) and await rest.is_model_ready(url, "recommend")
    over_rest = items(await rest.infer(url, request, model_name="recommend"))
    grpc = InferenceGRPCClient(ADDRESS)
    assert await grpc.is_server_ready() and await grpc.is_model_ready("recommend")
    over_grpc = items(await grpc.infer(request))
    assert len(over_rest) == 3 and over_rest == over_grpc, (over_rest, over_grpc)
    print("KServe's clients over HTTP and gRPC: alike")


if __name__ == "__main__":
    asyncio.run(main())
