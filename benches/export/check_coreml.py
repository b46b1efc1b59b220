"""Checks Core ML packages without Core ML, which Apple's systems alone have: coremltools reads the package, turns the program back
into its own operations and infers every shape anew; then NumPy computes those operations beside `swiftformer forward`.

    pip install coremltools safetensors
    python benches/export/check_coreml.py --program target/debug/swiftformer --models testdata/hf_tiny testdata/timm_tiny
"""
from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

TOLERANCE = {"f32": 1e-4, "f16": 2e-2}


def run(*command) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def read(package: Path):
    """The specification, and the program as coremltools understands it."""
    warnings.filterwarnings("ignore")
    import coremltools
    from coremltools.converters.mil.frontend.milproto.load import load

    coremltools.models.MLModel(str(package), skip_model_load=True)
    spec = coremltools.utils.load_spec(str(package))
    weights = package / "Data" / "com.apple.CoreML" / "weights"
    program = load(spec, specification_version=spec.specificationVersion, file_weights_dir=str(weights))
    return spec, program


def shapes_agree(spec, program) -> int:
    """Compares each value's shape and type in the file with what coremltools infers; gives their number."""
    function = spec.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    inferred = {}
    for operation in program.functions["main"].operations:
        for output in operation.outputs:
            inferred[output.name] = output
    names = {10: "fp16", 11: "fp32"}
    count = 0
    for operation in block.operations:
        for output in operation.outputs:
            tensor = output.type.tensorType
            if operation.type in ("const", "classify"):
                continue
            shape = tuple(dimension.constant.size for dimension in tensor.dimensions)
            found = inferred[output.name]
            assert tuple(found.shape) == shape, f"{output.name}: {shape} in the file, {found.shape} inferred"
            assert found.dtype.__name__ == names[tensor.dataType], f"{output.name}: {found.dtype}"
            count += 1
    return count


def convolve(x, weight, bias, strides, pad, groups):
    x = np.pad(x, ((0, 0), (0, 0), (pad[0], pad[1]), (pad[2], pad[3])))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1]]
    n, channels, height, width = windows.shape[:4]
    grouped = windows.reshape(n, groups, channels // groups, height, width, *weight.shape[2:])
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    y = np.einsum("ngchwyx,gocyx->ngohw", grouped, weight, optimize=True)
    return y.reshape(n, -1, height, width) + bias.reshape(1, -1, 1, 1)


def compute(operation, value):
    """One operation in 64-bit floats; its result is rounded to the operation's type."""
    take = lambda name: value(operation.inputs[name])  # noqa: E731
    x = take("x") if "x" in operation.inputs else None
    axes = lambda: tuple(int(axis) for axis in take("axes"))  # noqa: E731
    kind = operation.op_type
    if kind == "conv":
        pad = take("pad")
        return convolve(x, take("weight"), take("bias"), take("strides"), pad, int(take("groups")))
    if kind == "gelu":
        if take("mode") == "EXACT":
            return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if kind == "softmax":
        e = np.exp(x - x.max(int(take("axis")), keepdims=True))
        return e / e.sum(int(take("axis")), keepdims=True)
    return {
        "linear": lambda: x @ take("weight").T + take("bias"),
        "add": lambda: x + take("y"),
        "sub": lambda: x - take("y"),
        "mul": lambda: x * take("y"),
        "real_div": lambda: x / take("y"),
        "maximum": lambda: np.maximum(x, take("y")),
        "clip": lambda: np.clip(x, take("alpha"), take("beta")),
        "sqrt": lambda: np.sqrt(x),
        "exp": lambda: np.exp(x),
        "relu": lambda: np.maximum(x, 0),
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "tanh": lambda: np.tanh(x),
        "softplus": lambda: np.logaddexp(x, 0),
        "cast": lambda: x,
        "reduce_sum": lambda: x.sum(axes(), keepdims=bool(take("keep_dims"))),
        "reduce_max": lambda: x.max(axes(), keepdims=bool(take("keep_dims"))),
        "reduce_mean": lambda: x.mean(axes(), keepdims=bool(take("keep_dims"))),
        "reduce_l2_norm": lambda: np.sqrt((x * x).sum(axes(), keepdims=bool(take("keep_dims")))),
    }[kind]()


def interpret(program, image: np.ndarray) -> dict:
    function = program.functions["main"]
    (name,) = function.inputs
    values = {name: image.astype(np.float64)}

    def value(variable):
        if variable.name in values:
            return values[variable.name]
        constant = variable.val
        return constant.astype(np.float64) if getattr(constant, "dtype", None) in (np.float16, np.float32) else constant

    for operation in function.operations:
        if operation.op_type in ("const", "classify"):
            continue
        output = operation.outputs[0]
        rounded = np.float16 if output.dtype.__name__ == "fp16" else np.float32
        values[output.name] = compute(operation, value).astype(rounded).astype(np.float64)
    return values


def check(program: Path, model: str, precision: str, more: list[str], folder: Path) -> bool:
    from safetensors.numpy import load_file, save_file

    package = folder / "model.mlpackage"
    run(program, "export", model, package, "--format", "coreml", "--force", "--size", "64x96", "--precision", precision, *more)
    spec, mil = read(package)
    assert spec.specificationVersion == 7
    count = shapes_agree(spec, mil)
    images = np.random.default_rng(1).integers(0, 256, (1, 3, 64, 96)).astype(np.float32)
    given = images
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    images = (images / 255 - mean) / std
    if "--with-preprocessing" not in more:
        given = images
    dialect = more[more.index("--dialect"):][:2] if "--dialect" in more else []
    save_file({"pixel_values": images.astype(np.float32)}, str(folder / "in.safetensors"))
    run(program, "forward", folder / "in.safetensors", "--model", model, *dialect, "--output", folder / "out.safetensors")
    logits = load_file(str(folder / "out.safetensors"))["logits"]
    values = interpret(mil, given)
    if "probabilities" in more:
        expected, found = np.exp(logits) / np.exp(logits).sum(), values["probabilities"]
        assert spec.description.predictedFeatureName == ("classLabel" if "embed" in more else "")
    else:
        expected, found = logits, values["logits"]
    worst = float(np.abs(found - expected).max())
    good = worst <= TOLERANCE[precision]
    print(f"| {Path(model).name} | {precision} | {' '.join(more) or '-'} | {count} | {worst:.1e} | {'ok' if good else 'TOO FAR'} |",
          flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["testdata/hf_tiny", "testdata/timm_tiny"])
    args = parser.parse_args()
    print("| model | precision | options | values | largest difference | |")
    print("|---|---|---|---|---|---|", flush=True)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models:
            for precision in ("f32", "f16"):
                for more in ([], ["--dialect", "softmax"], ["--norm", "qnn"],
                             ["--outputs", "probabilities", "--with-preprocessing", "--labels", "embed"]):
                    good &= check(args.program, model, precision, more, Path(folder))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
