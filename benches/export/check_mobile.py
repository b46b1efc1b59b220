"""Exports models for LiteRT and ncnn with the built program and runs the files beside `swiftformer forward`.

    pip install torch transformers safetensors ai-edge-litert ncnn
    cargo build --release --package swiftformer-cli
    python benches/export/check_mobile.py --program target/release/swiftformer --folder /tmp/export

Distances and models are those of check.py. XNNPACK, LiteRT's engine for processors, takes every operator in one piece. Core ML has a
script of its own.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from check import DIALECTS, ODD, distance, normalised, planned, run, weights  # noqa: E402


def litert(path: Path, images: np.ndarray) -> tuple[dict[str, np.ndarray], str]:
    """Outputs for images [N, H, W, C], and what is left outside of XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=2)
    runner = interpreter.get_signature_runner()
    (name,) = interpreter.get_signature_list()["serving_default"]["inputs"]
    found = runner(**{name: np.ascontiguousarray(images)})
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

    def check(self, model: Path, dialect: str, size: tuple[int, int], more: bool) -> None:
        levels, expected, runs = planned(self.program, model, dialect, size, more, self.folder)
        for form in self.formats:
            for precision, options, tolerance in runs:
                if form == "litert" or "--batch" not in options:
                    self.one(form, model, dialect, size, precision, options, tolerance, levels, expected)

    def one(self, form, model, dialect, size, precision, options, tolerance, levels, expected) -> None:
        target = self.folder / ("model.tflite" if form == "litert" else "model-ncnn")
        run(self.program, "export", model, target, "--format", form, "--force", "--dialect", dialect, "--size",
            f"{size[0]}x{size[1]}", "--precision", precision, *options.split())
        levels = levels if "--batch" in options else levels[:1]
        images = levels if "--with-preprocessing" in options else normalised(levels).transpose(0, 2, 3, 1)
        found, left = litert(target, images) if form == "litert" else ncnn(target, images[0], precision == "f16")
        worst = distance(found, expected)
        good = worst <= tolerance and not left
        deviation = f"{expected['logits'].std():.1f}" if "logits" in expected else "-"
        cells = [form, model.name, dialect, f"{size[0]}x{size[1]}", precision, options or "-", deviation, f"{worst:.1e}"]
        print("| " + " | ".join(cells + [left or "-" if form == "litert" else "", "ok" if good else "MISS"]) + " |", flush=True)
        self.rows += 1
        self.misses += not good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--formats", nargs="+", choices=("litert", "ncnn"), default=["litert", "ncnn"])
    parser.add_argument("--variants", nargs="*", default=[*ODD, "xs", "s", "l1", "l3"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print("| format | model | dialect | size | precision | options | deviation of the logits | largest difference | outside of XNNPACK | |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    checks = Checks(args.program, args.folder, args.formats)
    for variant in args.variants:
        model = weights(args.folder, variant)
        small = variant in ODD
        for size in [(75, 107), (32, 96)] if small else [(224, 224), (192, 640)]:
            for dialect in DIALECTS if small else ("sum", "l2"):
                checks.check(model, dialect, size, small and dialect == "l2" or variant == "odd")
    print(f"\n{checks.rows} exports, {checks.misses} misses")
    return 1 if checks.misses else 0


if __name__ == "__main__":
    sys.exit(main())
