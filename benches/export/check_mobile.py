"""Exports models for LiteRT and ncnn with the built program and runs the files beside `swiftformer forward`.

    pip install torch transformers safetensors ai-edge-litert ncnn
    cargo build --release --package swiftformer-cli
    python benches/export/check_mobile.py --program target/release/swiftformer --folder /tmp/export

Outputs lie within 1e-4 (f32) or 2e-2 (f16) of the program's, times the standard deviation of the logits where that is above 1, and
XNNPACK, LiteRT's engine for processors, takes every operator in one piece. The models are those of check.py.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from check import TOLERANCE, run, weights

MEAN, STD = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
# Options of the odd models' further exports, and how far their outputs may lie from f32's.
MORE = {
    "--gelu tanh": 1e-2,
    # Another function: ε is added to the norm rather than bounding it.
    "--norm qnn": 5e-2,
    "--with-preprocessing": 1e-4,
    "--outputs probabilities": 1e-4,
    "--outputs embedding": 1e-4,
    "--outputs features": 1e-4,
}


def ours(program: Path, model: Path, images: np.ndarray, dialect: str, folder: Path) -> dict[str, np.ndarray]:
    """The program's outputs, under the names that exports give them."""
    from safetensors.numpy import load_file, save_file

    save_file({"pixel_values": images}, str(folder / "in.safetensors"))
    run(program, "forward", folder / "in.safetensors", "--model", model, "--dialect", dialect, "--features", "--output",
        folder / "out.safetensors")
    found = load_file(str(folder / "out.safetensors"))
    power = np.exp(found["logits"] - found["logits"].max())
    features = {name.replace(".", "_"): value for name, value in found.items() if name.startswith("features.")}
    return {"logits": found["logits"], "embedding": found["pre_logits"], "probabilities": power / power.sum()} | features


def litert(path: Path, image: np.ndarray) -> tuple[dict[str, np.ndarray], str]:
    """Outputs for an image [H, W, C], and what is left outside of XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=2)
    runner = interpreter.get_signature_runner()
    (name,) = interpreter.get_signature_list()["serving_default"]["inputs"]
    found = runner(**{name: np.ascontiguousarray(image)[None]})
    maps = {name: value.transpose(0, 3, 1, 2) if value.ndim == 4 else value for name, value in found.items()}
    return maps, left_over(interpreter)


def left_over(interpreter) -> str:
    """Operators that feed XNNPACK's part of the graph, or give outputs without it."""
    operators = interpreter._get_ops_details()
    delegates = [step for step in operators if step["op_name"] == "DELEGATE"]
    if len(delegates) != 1:
        return f"{len(delegates)} pieces"
    taken, given = set(delegates[0]["inputs"]), set(delegates[0]["outputs"])
    outside = taken | {end["index"] for end in interpreter.get_output_details()} - given
    return ", ".join(step["op_name"] for step in operators if step is not delegates[0] and outside & set(step["outputs"]))


def ncnn(folder: Path, image: np.ndarray, halves: bool) -> tuple[dict[str, np.ndarray], str]:
    """Outputs for an image [H, W, C]. With `halves` ncnn may use 16 bits where it likes to, as it does unless told otherwise."""
    import ncnn as engine

    info = json.loads((folder / "model.json").read_text())
    net = engine.Net()
    net.opt.num_threads = 2
    net.opt.use_vulkan_compute = False
    if not halves:
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(folder / "model.ncnn.param")) or net.load_model(str(folder / "model.ncnn.bin")):
        raise RuntimeError("ncnn cannot read the model")
    extractor = net.create_extractor()
    # A clone owns its memory and has ncnn's alignment between channels.
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    extractor.input(info["input"]["blob"], engine.Mat(planes).clone())
    found = {}
    for name in info["outputs"]:
        status, blob = extractor.extract(name)
        if status:
            raise RuntimeError(f"ncnn ends with {status}")
        found[name] = np.array(blob)[None]
    return found, ""


class Checks:
    """Exports and comparisons; prints a row of a table for each."""

    def __init__(self, program: Path, folder: Path, formats: list[str]):
        self.program, self.folder, self.formats = program, folder, formats
        self.rows = self.misses = 0

    def check(self, model: Path, dialect: str, size: tuple[int, int]) -> None:
        levels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
        pixels = ((levels / 255 - MEAN) / STD).astype(np.float32)
        expected = ours(self.program, model, pixels.transpose(2, 0, 1)[None].copy(), dialect, self.folder)
        deviation = float(expected["logits"].std())
        runs = [(precision, "", TOLERANCE[precision]) for precision in ("f32", "f16")]
        if model.name in ("odd", "narrow"):
            runs += [("f32", more, tolerance) for more, tolerance in MORE.items()]
        for form in self.formats:
            for precision, more, tolerance in runs:
                target = self.folder / ("model.tflite" if form == "litert" else "model-ncnn")
                run(self.program, "export", model, target, "--format", form, "--force", "--dialect", dialect, "--size",
                    f"{size[0]}x{size[1]}", "--precision", precision, *more.split())
                image = levels if more == "--with-preprocessing" else pixels
                found, left = litert(target, image) if form == "litert" else ncnn(target, image, precision == "f16")
                worst = max(float(np.abs(value - expected[name]).max()) for name, value in found.items())
                # Not a number is no small difference.
                good = worst <= tolerance * max(1.0, deviation) and not left
                cells = [form, model.name, dialect, f"{size[0]}x{size[1]}", precision, more or "-", f"{deviation:.1f}",
                         f"{worst:.1e}"]
                print("| " + " | ".join(cells + [left or "-" if form == "litert" else "", "ok" if good else "MISS"]) + " |",
                      flush=True)
                self.rows += 1
                self.misses += not good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--formats", nargs="+", choices=("litert", "ncnn"), default=["litert", "ncnn"])
    parser.add_argument("--variants", nargs="*", default=["odd", "narrow", "xs", "s", "l1", "l3"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print("| format | model | dialect | size | precision | options | deviation of the logits | largest difference | outside of XNNPACK | |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    checks = Checks(args.program, args.folder, args.formats)
    for variant in args.variants:
        model = weights(args.folder, variant)
        small = variant in ("odd", "narrow")
        for size in [(75, 107), (64, 96)] if small else [(224, 224), (192, 640)]:
            for dialect in ("sum", "l2", "softmax", "raw") if small else ("sum", "l2"):
                checks.check(model, dialect, size)
    print(f"\n{checks.rows} exports, {checks.misses} misses")
    return 1 if checks.misses else 0


if __name__ == "__main__":
    sys.exit(main())
