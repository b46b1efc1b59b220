"""Times our ONNX beside the one that PyTorch exports from the same weights, in ONNX Runtime and OpenVINO, taking turns in one
process, on one thread; prints a table for docs/export.md.

    pip install torch transformers onnx onnxruntime openvino safetensors
    python benches/export/speed.py --program target/release/swiftformer --folder /tmp/export
"""
from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from check import prepare, weights  # noqa: E402


def exported_by_pytorch(model: Path) -> Path:
    path = model / "pytorch.onnx"
    if not path.is_file():
        import torch

        torch.onnx.export(prepare.logits_module(model), (torch.zeros(1, 3, 224, 224),), str(path), dynamo=False,
                          input_names=["pixel_values"], output_names=["logits"], opset_version=17)
    return path


def exported_by_us(program: Path, model: Path, gelu: str) -> Path:
    path = model / f"ours-{gelu}.onnx"
    if path.is_file() and path.stat().st_mtime > program.stat().st_mtime:
        return path
    command = [program, "export", model, path, "--force", "--gelu", gelu]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return path


def nodes(path: Path) -> int:
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return sum(node.op_type != "Constant" for node in graph.node)


def in_onnxruntime(path: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    return lambda: session.run(["logits"], {"pixel_values": images})


def in_openvino(path: Path):
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    request = openvino.compile_model(str(path), "CPU", settings).create_infer_request()
    images = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    return lambda: request.infer([images])


def times(runs: dict, seconds: float) -> dict:
    """Milliseconds of the fastest run of each, in short turns."""
    least = dict.fromkeys(runs, float("inf"))
    for name in runs:
        runs[name]()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, one in runs.items():
            for _ in range(3):
                start = time.perf_counter()
                one()
                least[name] = min(least[name], (time.perf_counter() - start) * 1e3)
    return least


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--variants", nargs="*", default=["xs", "l3"])
    parser.add_argument("--seconds", type=float, default=6.0, help="for each variant and engine")
    parser.add_argument("--prepare", action="store_true", help="only make the files")
    args = parser.parse_args()
    print("| model | engine | PyTorch's: nodes, ms | ours: nodes, ms | ours, --gelu op: nodes, ms |")
    print("|---|---|---|---|---|", flush=True)
    for variant in args.variants:
        model = weights(args.folder, variant)
        paths = {
            "pytorch": exported_by_pytorch(model),
            "ours": exported_by_us(args.program, model, "exact"),
            "op": exported_by_us(args.program, model, "op"),
        }
        if args.prepare:
            continue
        for engine, start in (("ONNX Runtime", in_onnxruntime), ("OpenVINO", in_openvino)):
            measured = times({name: start(path) for name, path in paths.items()}, args.seconds)
            cells = [f"{nodes(paths[name])}, {measured[name]:.2f}" for name in paths]
            print(f"| {variant} | {engine} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
