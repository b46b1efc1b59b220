"""Asks a running server through KServe's client, as its users would: `kserve_client.py http://ADDRESS MODEL`."""
from __future__ import annotations

import asyncio
import sys

import numpy
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def main(address: str, model: str) -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(address) and await client.is_server_ready(address)
    assert await client.is_model_ready(address, model)
    array = numpy.random.default_rng(0).standard_normal([2, 3, 224, 224], numpy.float32)
    logits = []
    for binary in (True, False):
        images = InferInput("pixel_values", list(array.shape), "FP32")
        images.set_data_from_numpy(array, binary_data=binary)
        answer = await client.infer(address, InferRequest(model_name=model, infer_inputs=[images]), model_name=model)
        logits.append(answer.outputs[0].as_numpy())
    assert logits[0].shape[0] == 2
    numpy.testing.assert_allclose(logits[0], logits[1], rtol=1e-6)
    print("all well:", logits[0].shape)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
