"""Exports models as ONNX with the built program and runs the files in engines from PyPI beside `swiftformer forward`.

    pip install torch transformers onnx onnxruntime openvino pillow safetensors
    cargo build --release --package swiftformer-cli
    python benches/export/check.py --program target/release/swiftformer --folder /tmp/export

Every file passes onnx.checker's full check, and every engine's logits and probabilities lie within 1e-4 (f32) or 2e-2 (f16) of the
program's; of features and embeddings the distance is counted in their standard deviations where those are above 1. The models have
random weights whose activations stay near one, and heads that make logits deviate by 1.5, as those of trained models do. They are
kept in --folder for the next run.
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
DEVIATION = 1.5
# Odd models, and what their configs say: widths that are no multiples of anything, and everything else that a config may vary.
ODD = {
    "odd": ([1, 2, 1, 3], [10, 17, 33, 44], {}),
    "narrow": ([2, 1, 1, 1], [6, 6, 14, 22], {}),
    "gray": ([1, 1, 1, 1], [7, 12, 19, 23], {"num_channels": 1, "num_labels": 1, "mlp_ratio": 3}),
    "silu": ([1, 1, 2, 1], [9, 16, 25, 31], {"hidden_act": "silu", "use_layer_scale": False, "num_labels": 17}),
    "mish": ([1, 1, 1, 1], [8, 8, 16, 24], {"hidden_act": "mish", "num_labels": 2}),
    "headless": ([1, 1, 1, 2], [5, 11, 13, 30], {"num_labels": 0}),
}
for name, (depths, dims, _) in ODD.items():
    prepare.SHAPES[name] = (depths, dims)
DIALECTS = ("sum", "l2", "softmax", "raw")
# Further exports of the odd models and of xs, and how far from the exact network their f32 may lie: the tanh form is another
# function, and `qnn` adds ε to norms instead of bounding them.
MORE = {
    "--gelu op": 1e-4,
    "--gelu tanh": 1e-2,
    "--norm qnn": 2e-3,
    "--batch dynamic": 1e-4,
    "--batch 3": 1e-4,
    "--with-preprocessing": 1e-4,
    "--outputs probabilities": 1e-4,
    "--outputs embedding": 1e-4,
    "--outputs features": 1e-4,
}


def weights(folder: Path, variant: str) -> Path:
    """The folder of a model, made if it is not there."""
    model = folder / variant
    done = model / "done"
    if not done.is_file():
        model.mkdir(parents=True, exist_ok=True)
        size, more = (64, ODD[variant][2]) if variant in ODD else (224, {})
        prepare.make_weights(variant, model, size, **more)
        if more.get("num_labels", 1000) > 1:
            scale_heads(model, size, more.get("num_channels", 3))
        done.touch()
    return model


def scale_heads(model: Path, size: int, channels: int) -> None:
    """Makes logits deviate by DEVIATION."""
    import torch
    from safetensors.torch import load_file, save_file

    with torch.inference_mode():
        images = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(2))
        factor = DEVIATION / prepare.logits_module(model)(images).std().item()
    path = str(model / "model.safetensors")
    state = load_file(path)
    scaled = {name: value * factor if name.split(".")[0] in ("head", "dist_head") else value for name, value in state.items()}
    save_file(scaled, path, {"format": "pt"})


def ours(program: Path, model: Path, images: np.ndarray, dialect: str, folder: Path) -> dict[str, np.ndarray]:
    """The program's outputs, under the names that exports give them."""
    from safetensors.numpy import load_file, save_file

    save_file({"pixel_values": images}, str(folder / "in.safetensors"))
    run(program, "forward", folder / "in.safetensors", "--model", model, "--dialect", dialect, "--features", "--output",
        folder / "out.safetensors")
    found = load_file(str(folder / "out.safetensors"))
    outputs = {name.replace(".", "_"): value for name, value in found.items() if name.startswith("features.")}
    outputs["embedding"] = found["pre_logits"]
    # Without heads, transformers calls the embedding logits.
    if not np.array_equal(found["logits"], found["pre_logits"]):
        power = np.exp(found["logits"] - found["logits"].max(1, keepdims=True))
        outputs |= {"logits": found["logits"], "probabilities": power / power.sum(1, keepdims=True)}
    return outputs


def run(*command) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def normalised(levels: np.ndarray) -> np.ndarray:
    """Bytes [N, H, W, C] as the input [N, C, H, W] of the models."""
    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    if levels.shape[-1] == 1:
        mean, std = mean.mean(), std.mean()
    return np.ascontiguousarray(((levels / 255 - mean) / std).transpose(0, 3, 1, 2), np.float32)


def distance(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The largest difference; of maps and embeddings in standard deviations, where those are above 1."""
    worst = 0.0
    for name, value in found.items():
        wanted = expected[name][: len(value)]
        assert value.shape == wanted.shape, f"{name}: {value.shape} instead of {wanted.shape}"
        unit = 1.0 if name in ("logits", "probabilities") else max(1.0, float(wanted.std()))
        difference = float(np.abs(value.astype(np.float64) - wanted).max()) / unit
        # Not a number is no small difference.
        worst = difference if not difference <= worst else worst
    return worst


def in_onnxruntime(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: images})))


def in_openvino(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    import openvino

    compiled = openvino.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled([images])
    return {output.get_any_name(): found[output] for output in compiled.outputs}


def planned(program: Path, model: Path, dialect: str, size: tuple[int, int], more: bool, folder: Path):
    """Images, what our engine gives for them, and the exports to compare: precision, options, tolerance."""
    channels = 1 if model.name == "gray" else 3
    levels = np.random.default_rng(1).integers(0, 256, (3 if more else 1, *size, channels), dtype=np.uint8)
    expected = ours(program, model, normalised(levels), dialect, folder)
    first = "" if "logits" in expected else "--outputs embedding"
    runs = [(precision, first, TOLERANCE[precision]) for precision in ("f32", "f16")]
    if more:
        runs += [("f32", f"{first} {options}".strip(), tolerance) for options, tolerance in MORE.items()
                 if not first or "--outputs" not in options]
    return levels, expected, runs


class Checks:
    """Exports and comparisons; prints a row of a table for each."""

    def __init__(self, program: Path, folder: Path):
        self.program, self.folder = program, folder
        self.rows = self.misses = 0

    def check(self, model: Path, dialect: str, size: tuple[int, int], more: bool) -> None:
        levels, expected, runs = planned(self.program, model, dialect, size, more, self.folder)
        for precision, options, tolerance in runs:
            self.one(model, dialect, size, precision, options, tolerance, levels, expected)

    def one(self, model, dialect, size, precision, options, tolerance, levels, expected) -> None:
        import onnx

        path = self.folder / "model.onnx"
        run(self.program, "export", model, path, "--force", "--dialect", dialect, "--size", f"{size[0]}x{size[1]}", "--precision",
            precision, *options.split())
        onnx.checker.check_model(str(path), full_check=True)
        levels = levels if "--batch" in options else levels[:1]
        images = levels
        if "--with-preprocessing" not in options:
            images = normalised(levels).astype(np.float16 if precision == "f16" else np.float32)
        worst = [distance(engine(path, images), expected) for engine in (in_onnxruntime, in_openvino)]
        good = all(value <= tolerance for value in worst)
        deviation = f"{expected['logits'].std():.1f}" if "logits" in expected else "-"
        cells = [model.name, dialect, f"{size[0]}x{size[1]}", precision, options or "-", deviation]
        cells += [f"{value:.1e}" for value in worst] + ["ok" if good else "TOO FAR"]
        print("| " + " | ".join(cells) + " |", flush=True)
        self.rows += 1
        self.misses += not good

    def resizes(self, model: Path, photo: Path) -> None:
        """`--source-size` in ONNX Runtime beside Pillow's resize. OpenVINO leaves antialiasing out."""
        from PIL import Image

        image = Image.open(photo).convert("RGB")
        levels = np.asarray(image)[None]
        cover = round(235 * image.width / image.height)
        left = (cover - 224) // 2
        for preset, prepared, source in (
            ("hf", image.resize((224, 224), Image.Resampling.BILINEAR), "any"),
            ("timm", image.resize((cover, 235), Image.Resampling.BICUBIC).crop((left, 6, left + 224, 230)),
             f"{image.height}x{image.width}"),
        ):
            expected = ours(self.program, model, normalised(np.asarray(prepared)[None]), "sum", self.folder)
            path = self.folder / "model.onnx"
            options = f"--with-preprocessing --preprocess {preset} --source-size {source}"
            run(self.program, "export", model, path, "--force", "--dialect", "sum", *options.split())
            worst = distance(in_onnxruntime(path, levels), expected)
            # A level of one pixel of 255 may be another.
            good = worst <= 2e-2
            print(f"| {model.name} | sum | 224x224 | f32 | {options} | - | {worst:.1e} | - | {'ok' if good else 'TOO FAR'} |", flush=True)
            self.rows += 1
            self.misses += not good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--variants", nargs="*", default=[*ODD, "xs", "s", "l1", "l3"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print("| model | dialect | size | precision | options | deviation of the logits | ONNX Runtime | OpenVINO | |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    checks = Checks(args.program, args.folder)
    for variant in args.variants:
        model = weights(args.folder, variant)
        small = variant in ODD
        for size in [(75, 107), (32, 96)] if small else [(224, 224), (192, 640)]:
            for dialect in DIALECTS if small else ("sum", "l2"):
                checks.check(model, dialect, size, variant == "odd" or (small or variant == "xs") and dialect == "l2")
        if variant == "xs":
            checks.resizes(model, Path(__file__).parent.parent.parent / "examples" / "china.jpg")
    print(f"\n{checks.rows} exports, {checks.misses} misses")
    return 1 if checks.misses else 0


if __name__ == "__main__":
    sys.exit(main())
