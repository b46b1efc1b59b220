"""Exports models with the built program and runs the files in engines from PyPI beside `swiftformer forward`.

    pip install torch transformers onnx onnxruntime openvino safetensors
    cargo build --release --package swiftformer-cli
    python benches/export/check.py --program target/release/swiftformer --folder /tmp/export

Every file passes onnx.checker's full check, and every engine's logits lie within 1e-4 (f32) or 2e-2 (f16) of the program's, times
their standard deviation where that is above 1: random weights give up to 16, trained ones 1 to 2, and a 16-bit logit of 50 is a
multiple of 0.03. The models have random weights whose activations stay near one, kept in --folder for the next run.
"""
from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "peers"))
import prepare  # noqa: E402

TOLERANCE = {"f32": 1e-4, "f16": 2e-2}
# Widths that are no multiples of anything, and a stage of one block.
prepare.SHAPES["odd"] = ([1, 2, 1, 3], [10, 17, 33, 44])
prepare.SHAPES["narrow"] = ([2, 1, 1, 1], [6, 6, 14, 22])


def weights(folder: Path, variant: str) -> Path:
    model = folder / variant
    if not (model / "model.safetensors").is_file():
        model.mkdir(parents=True, exist_ok=True)
        prepare.make_weights(variant, model, 64 if variant in ("odd", "narrow") else 224)
    return model


def ours(program: Path, model: Path, images: np.ndarray, dialect: str, folder: Path) -> np.ndarray:
    from safetensors.numpy import load_file, save_file

    save_file({"pixel_values": images}, str(folder / "in.safetensors"))
    run(program, "forward", folder / "in.safetensors", "--model", model, "--dialect", dialect, "--output",
        folder / "out.safetensors")
    return load_file(str(folder / "out.safetensors"))["logits"]


def run(*command) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


MEAN, STD = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def onnxruntime_logits(path: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {session.get_inputs()[0].name: images})[0]


def openvino_logits(path: Path, images: np.ndarray) -> np.ndarray:
    import openvino

    compiled = openvino.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([images])[0]


def check(program: Path, model: Path, dialect: str, size: tuple[int, int], precision: str, more: list[str],
          folder: Path, reference: np.ndarray, images: np.ndarray) -> bool:
    import onnx

    path = folder / "model.onnx"
    run(program, "export", model, path, "--force", "--dialect", dialect, "--size", f"{size[0]}x{size[1]}",
        "--precision", precision, *more)
    onnx.checker.check_model(str(path), full_check=True)
    if "--with-preprocessing" in more:
        images = np.rint((images * STD + MEAN) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    else:
        images = images.astype(np.float16 if precision == "f16" else np.float32)
    worst = {}
    for name, logits in (("onnxruntime", onnxruntime_logits), ("openvino", openvino_logits)):
        worst[name] = float(np.abs(logits(path, images).astype(np.float64) - reference).max())
    deviation = float(reference.std())
    good = all(value <= TOLERANCE[precision] * max(1.0, deviation) for value in worst.values())
    cells = [model.name, dialect, f"{size[0]}x{size[1]}", precision, " ".join(more) or "-"]
    cells += [f"{deviation:.1f}"] + [f"{worst[name]:.1e}" for name in worst] + ["ok" if good else "TOO FAR"]
    print("| " + " | ".join(cells) + " |", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--variants", nargs="*", default=["odd", "narrow", "xs", "s", "l1", "l3"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print("| model | dialect | size | precision | options | deviation of the logits | ONNX Runtime | OpenVINO | |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    good = True
    for variant in args.variants:
        model = weights(args.folder, variant)
        sizes = [(75, 107), (64, 96)] if variant in ("odd", "narrow") else [(224, 224), (192, 640)]
        for size in sizes:
            image = np.random.default_rng(1).integers(0, 256, (1, 3, *size)).astype(np.float32)
            images = (image / 255 - MEAN) / STD
            for dialect in ("sum", "l2"):
                reference = ours(args.program, model, images, dialect, args.folder)
                runs = [("f32", []), ("f16", [])]
                if variant in ("odd", "xs"):
                    runs += [("f32", ["--gelu", "op"]), ("f32", ["--batch", "dynamic"]), ("f32", ["--with-preprocessing"])]
                for precision, more in runs:
                    good &= check(args.program, model, dialect, size, precision, more, args.folder, reference, images)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
