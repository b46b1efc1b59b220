"""Asks a running server through NVIDIA's client, as its users would: `triton.py ADDRESS MODEL`."""
from __future__ import annotations

import sys

import numpy
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def main(address: str, model: str) -> None:
    client = triton.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
    assert client.get_server_metadata()["name"] == "swiftformer"
    metadata = client.get_model_metadata(model)
    name, datatype = metadata["inputs"][0]["name"], metadata["inputs"][0]["datatype"]
    shape = [2, *metadata["inputs"][0]["shape"][1:]]
    assert client.get_model_config(model)["max_batch_size"] > 0
    assert [entry["name"] for entry in client.get_model_repository_index()].count(model) == 1
    array = numpy.random.default_rng(0).standard_normal(shape, numpy.float32)
    answers = []
    for binary in (True, False):
        images = triton.InferInput(name, shape, datatype)
        images.set_data_from_numpy(array, binary_data=binary)
        outputs = [triton.InferRequestedOutput("logits", binary_data=binary)]
        answers.append(client.infer(model, [images], outputs=outputs, request_id="7"))
        assert answers[-1].get_response()["id"] == "7"
    logits = [answer.as_numpy("logits") for answer in answers]
    numpy.testing.assert_allclose(logits[0], logits[1], rtol=1e-6)
    images = triton.InferInput(name, shape, datatype)
    images.set_data_from_numpy(array)
    best = client.infer(model, [images], outputs=[triton.InferRequestedOutput("logits", class_count=3)]).as_numpy("logits")
    assert best.shape == (2, 3) and int(best[0, 0].decode().split(":")[1]) == int(logits[0][0].argmax()), best
    pending = [client.async_infer(model, [images]) for _ in range(8)]
    for request in pending:
        numpy.testing.assert_allclose(request.get_result().as_numpy("logits"), logits[0], rtol=1e-4, atol=1e-4)
    client.load_model(model)
    for wrong in ("nothing", model):
        try:
            bad = triton.InferInput(name, [1, 1, 1, 1], datatype)
            bad.set_data_from_numpy(numpy.zeros([1, 1, 1, 1], numpy.float32))
            client.infer(wrong, [bad])
            raise SystemExit("a bad request was answered")
        except InferenceServerException as error:
            print("refused, as it should be:", error)
    print("all well:", metadata)


if __name__ == "__main__":
    main(*sys.argv[1:])
