"""Checks Core ML packages without Core ML, which Apple's systems alone have: coremltools reads the package, turns the program back
into its own operations and infers every shape anew; then NumPy computes those operations beside `swiftformer forward`.

    pip install coremltools safetensors
    python benches/export/check_coreml.py --program target/debug/swiftformer --models testdata/hf_tiny testdata/timm_tiny
"""
from __future__ import annotations

import argparse
import math
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from check import DIALECTS, MORE, TOLERANCE, distance, normalised, ours, run  # noqa: E402


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


def check(program: Path, model: Path, dialect: str, precision: str, options: str, tolerance: float, folder: Path) -> bool:
    package = folder / "model.mlpackage"
    run(program, "export", model, package, "--format", "coreml", "--force", "--dialect", dialect, "--size", "64x96", "--precision", precision,
        *options.split())
    spec, mil = read(package)
    assert spec.specificationVersion == 7
    count = shapes_agree(spec, mil)
    levels = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    images = normalised(levels)
    values = interpret(mil, levels.transpose(0, 3, 1, 2) if "--with-preprocessing" in options else images)
    expected = ours(program, model, images, dialect, folder)
    # The outputs of a classifier are the class and a dictionary made of the probabilities.
    names = ["probabilities"] if "probabilities" in options else [output.name for output in spec.description.output]
    assert "embed" not in options.split() or spec.description.predictedFeatureName == "classLabel"
    worst = distance({name: values[name] for name in names}, expected)
    good = worst <= tolerance
    cells = [model.name, dialect, precision, options or "-", str(count), f"{worst:.1e}", "ok" if good else "TOO FAR"]
    print("| " + " | ".join(cells) + " |", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--models", nargs="+", type=Path, default=[Path("testdata/hf_tiny"), Path("testdata/timm_tiny")])
    args = parser.parse_args()
    print("| model | dialect | precision | options | values | largest difference | |")
    print("|---|---|---|---|---|---|---|", flush=True)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models:
            for dialect in DIALECTS:
                for precision in ("f32", "f16"):
                    good &= check(args.program, model, dialect, precision, "", TOLERANCE[precision], Path(folder))
            classifier = "--outputs probabilities --with-preprocessing --labels embed"
            for options in (*(more for more in MORE if "--batch" not in more), classifier):
                good &= check(args.program, model, "l2", "f32", options, MORE.get(options, 1e-4), Path(folder))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
