"""One engine with a Python interface in a process of its own.

`serve.py ENGINE --folder FOLDER --batch N --threads N --seconds S` writes a line of JSON with the logits, then waits; every line
on standard input is answered, after a moment of running, with the median and the least time in milliseconds. An engine that fails
answers {"error": …}.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prepare import batch_folder, product

if TYPE_CHECKING:
    import numpy

# As in rust/src/main.rs.
WARM_UP = 3
LEAST_RUNS = 3

# Runs the engine once on its images; gives the logits as a numpy array.
Run = Callable[[], "numpy.ndarray"]


def openvino(folder: Path, images, threads: int, precision: str) -> Run:
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": precision}
    model = str(product("onnx", folder, len(images)))
    request = ov.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer([images])[0]


def onnxruntime(folder: Path, images, threads: int) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    model = str(product("onnx", folder, len(images)))
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"pixel_values": images})[0]


def litert(folder: Path, images, threads: int) -> Run:
    import numpy
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(product("litert", folder, len(images))), num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    sink = interpreter.get_output_details()[0]["index"]
    images = numpy.ascontiguousarray(images.transpose(0, 2, 3, 1))

    def run():
        interpreter.set_tensor(source, images)
        interpreter.invoke()
        return interpreter.get_tensor(sink)
    return run


def ncnn(folder: Path, images, threads: int, bf16: bool) -> Run:
    import ncnn as engine
    import numpy

    net = engine.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = bf16
    weights = product("ncnn", folder, 1)
    if net.load_param(str(weights.with_suffix(".param"))) or net.load_model(str(weights)):
        raise RuntimeError("ncnn cannot read the model")
    # A clone owns its memory and has ncnn's alignment between channels.
    mats = [engine.Mat(image).clone() for image in images]

    def one(mat):
        extractor = net.create_extractor()
        extractor.input("in0", mat)
        status, logits = extractor.extract("out0")
        if status:
            raise RuntimeError(f"ncnn ends with {status}")
        return numpy.array(logits)
    return lambda: numpy.stack([one(mat) for mat in mats])


def torch(folder: Path, images, threads: int, compiled: bool) -> Run:
    if compiled:
        os.environ["TORCHINDUCTOR_FREEZING"] = "1"
        # Helper processes would outlive the compilation.
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    import torch as engine
    from transformers import SwiftFormerForImageClassification

    engine.set_num_threads(threads)
    model = SwiftFormerForImageClassification.from_pretrained(folder).eval()
    if compiled:
        model = engine.compile(model)
    tensor = engine.from_numpy(images)

    def run():
        with engine.inference_mode():
            return model(tensor).logits.numpy()
    return run


def open_engine(name: str, folder: Path, batch: int, threads: int) -> Run:
    from safetensors.numpy import load_file

    images = load_file(str(batch_folder(folder, batch) / "input.safetensors"))["pixel_values"]
    makers = {
        "openvino": lambda: openvino(folder, images, threads, "f32"),
        "openvino-bf16": lambda: openvino(folder, images, threads, "bf16"),
        "onnxruntime": lambda: onnxruntime(folder, images, threads),
        "litert": lambda: litert(folder, images, threads),
        "ncnn": lambda: ncnn(folder, images, threads, False),
        "ncnn-bf16": lambda: ncnn(folder, images, threads, True),
        "torch": lambda: torch(folder, images, threads, False),
        "torch-compiled": lambda: torch(folder, images, threads, True),
    }
    return makers[name]()


def turn(run: Run, seconds: float) -> dict[str, float]:
    times = []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < LEAST_RUNS:
        before = time.perf_counter()
        run()
        times.append((time.perf_counter() - before) * 1e3)
    return {"median_ms": statistics.median(times), "min_ms": min(times)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("engine")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    # Libraries print what they like: the other side gets a descriptor of its own, and they the error stream.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(value: dict) -> None:
        print(json.dumps(value), file=answers, flush=True)
    try:
        run = open_engine(options.engine, options.folder, options.batch, options.threads)
        say({"logits": run().reshape(options.batch, -1).tolist()})
        for _ in range(WARM_UP):
            run()
        for _ in sys.stdin:
            say(turn(run, options.seconds))
    except Exception as error:  # noqa: BLE001, whatever a library raises belongs into the table
        say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    main()
