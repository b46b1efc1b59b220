"""Times our LiteRT and ncnn models beside those of litert-torch and pnnx from the same weights, taking turns in one process, on one
thread; prints a table for docs/export.

    pip install torch transformers safetensors litert-torch ai-edge-litert ncnn pnnx
    python benches/export/speed_mobile.py --program target/release/swiftformer --folder /tmp/export
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from check import prepare, run, weights  # noqa: E402
from check_mobile import left_over  # noqa: E402
from speed import times  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((224, 224, 3)).astype(np.float32)


def litert_torch_model(model: Path) -> Path:
    path = model / "litert-torch.tflite"
    if not path.is_file():
        import litert_torch
        import torch

        module = litert_torch.to_channel_last_io(prepare.logits_module(model), args=[0])
        litert_torch.convert(module, (torch.zeros(1, 224, 224, 3),)).export(str(path))
    return path


def exported(program: Path, model: Path, form: str, *more: str) -> Path:
    path = model / f"ours-{form}{''.join(more)}"
    run(program, "export", model, path, "--format", form, "--force", *more)
    return path


def in_litert(path: Path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    operators = [step for step in interpreter._get_ops_details() if step["op_name"] != "DELEGATE"]
    source = interpreter.get_input_details()[0]["index"]
    sink = interpreter.get_output_details()[0]["index"]
    print(f"{path.name}: {len(operators)} operators, outside of XNNPACK: {left_over(interpreter) or 'none'}", file=sys.stderr)

    def one():
        interpreter.set_tensor(source, IMAGE[None])
        interpreter.invoke()
        return interpreter.get_tensor(sink)
    return one, len(operators)


def in_ncnn(param: Path, weights_file: Path, source: str, sink: str):
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(param)) or net.load_model(str(weights_file)):
        raise RuntimeError("ncnn cannot read the model")
    image = ncnn.Mat(np.ascontiguousarray(IMAGE.transpose(2, 0, 1))).clone()

    def one():
        extractor = net.create_extractor()
        extractor.input(source, image)
        return np.array(extractor.extract(sink)[1])
    return one, int(param.read_text().split()[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--variants", nargs="*", default=["xs", "l3"])
    parser.add_argument("--seconds", type=float, default=6.0, help="for each variant and engine")
    parser.add_argument("--prepare", action="store_true", help="only make the files")
    args = parser.parse_args()
    print("| model | engine | file | operators | ms |")
    print("|---|---|---|---|---|", flush=True)
    for variant in args.variants:
        model = weights(args.folder, variant)
        files = {
            "litert-torch": litert_torch_model(model),
            "ours": exported(args.program, model, "litert"),
            "ours, f16": exported(args.program, model, "litert", "--precision", "f16"),
            "ours, tanh": exported(args.program, model, "litert", "--gelu", "tanh"),
        }
        folders = {
            "ours": exported(args.program, model, "ncnn"),
            "ours, norm qnn": exported(args.program, model, "ncnn", "--norm", "qnn"),
            "ours, tanh": exported(args.program, model, "ncnn", "--gelu", "tanh"),
        }
        if args.prepare:
            continue
        runs = {"LiteRT": {name: in_litert(path) for name, path in files.items()}, "ncnn": {}}
        if (model / "pnnx.param").is_file():
            runs["ncnn"]["pnnx"] = in_ncnn(model / "pnnx.param", model / "pnnx.bin", "in0", "out0")
        for name, folder in folders.items():
            info = json.loads((folder / "model.json").read_text())
            ends = info["input"]["blob"], info["outputs"][0]
            runs["ncnn"][name] = in_ncnn(folder / "model.ncnn.param", folder / "model.ncnn.bin", *ends)
        for engine, entries in runs.items():
            measured = times({name: one for name, (one, _) in entries.items()}, args.seconds)
            for name, (_, operators) in entries.items():
                print(f"| {variant} | {engine} | {name} | {operators} | {measured[name]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
