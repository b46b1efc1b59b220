#!/usr/bin/env python3
"""Has the files that `swiftformer convert` writes opened by the libraries they are for.

The tiny model and SwiftFormer-XS of testdata/ (random weights) are converted to every layout.
transformers and TensorFlow must then give the stored logits of the `sum` dialect; timm and the
original layout (read with torch.load(weights_only=True), mapped by timm's own conversion) those of
`l2`.

Setup, from the repository's root:

    cargo build --release
    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install torch "transformers==5.23.0" "timm==1.0.31" safetensors numpy

and for TensorFlow, whose model only transformers 4 has, a second environment:

    python3 -m venv /tmp/peers-tf
    /tmp/peers-tf/bin/pip install "transformers==4.46.3" "tensorflow-cpu==2.17.*" \
        "tf-keras==2.17.*" h5py safetensors "numpy<2"

Then:

    /tmp/peers/bin/python reference/check_written.py --tf-python /tmp/peers-tf/bin/python
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
TESTDATA = ROOT / "testdata"
# Ten times the references' own difference between 32 and 64 bits.
TOLERANCE = 2e-5


def unpack_planes(source: Path, target: Path) -> None:
    """Undoes the packing of testdata/hf_xs: header, then zlib of the floats' bytes 0, 1, 2, 3."""
    data = source.read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    planes = np.frombuffer(zlib.decompress(data[size:]), np.uint8).reshape(4, -1)
    target.write_bytes(data[:size] + planes.T.tobytes())


def cases(folder: Path):
    """Yields name, Hugging Face folder, inputs, and logits in both dialects."""
    hf = load_file(TESTDATA / "hf_tiny" / "golden.safetensors")
    timm = load_file(TESTDATA / "timm_tiny" / "golden.safetensors")
    for size in ("64x64", "75x107"):
        yield f"tiny {size}", TESTDATA / "hf_tiny", hf[f"{size}.pixel_values"], {
            "sum": hf[f"{size}.logits"],
            "l2": timm[f"{size}.logits"],
        }
    xs = folder / "hf_xs"
    xs.mkdir()
    (xs / "config.json").write_bytes((TESTDATA / "hf_xs" / "config.json").read_bytes())
    unpack_planes(TESTDATA / "hf_xs" / "model.safetensors.planes", xs / "model.safetensors")
    golden = load_file(TESTDATA / "hf_xs" / "golden.safetensors")
    yield "XS 224x224", xs, golden["pixel_values"], {
        "sum": golden["hf.logits"],
        "l2": golden["timm.logits"],
    }


def timm_model(architecture: dict):
    """An empty timm model of the given depths, widths and number of classes."""
    from timm.models.swiftformer import SwiftFormer

    return SwiftFormer(**architecture).eval()


def run_transformers(path: Path, pixels):
    import torch
    from transformers import SwiftFormerForImageClassification

    model = SwiftFormerForImageClassification.from_pretrained(path).eval()
    with torch.no_grad():
        return model(torch.from_numpy(pixels)).logits.numpy()


def run_timm(path: Path, pixels, architecture: dict):
    import torch
    from safetensors.torch import load_file as load_torch

    model = timm_model(architecture)
    model.load_state_dict(load_torch(path / "model.safetensors"), strict=True)
    with torch.no_grad():
        return model(torch.from_numpy(pixels)).numpy()


def run_original(path: Path, pixels, architecture: dict):
    import torch
    from timm.models.swiftformer import checkpoint_filter_fn

    model = timm_model(architecture)
    checkpoint = torch.load(path, weights_only=True)
    model.load_state_dict(checkpoint_filter_fn(checkpoint, model), strict=True)
    with torch.no_grad():
        return model(torch.from_numpy(pixels)).numpy()


def run_tensorflow(python: str, path: Path, pixels, folder: Path):
    """TensorFlow runs in its own interpreter: this script calls itself there."""
    given, answer = folder / "tf_in.safetensors", folder / "tf_out.safetensors"
    save_file({"pixel_values": pixels}, given)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [python, __file__, "--tf-worker", str(path), str(given), str(answer)]
    subprocess.run(command, check=True, env=environment)
    return load_file(answer)["logits"]


def tensorflow_worker(path: str, given: str, answer: str) -> None:
    from transformers import TFSwiftFormerForImageClassification

    model, loading = TFSwiftFormerForImageClassification.from_pretrained(
        path, output_loading_info=True
    )
    if any(loading.values()):
        sys.exit(f"{path}: {loading}")
    logits = model(load_file(given)["pixel_values"], training=False).logits.numpy()
    save_file({"logits": logits}, answer)


def architecture_of(folder: Path) -> dict:
    """What timm needs to build the model of a Hugging Face folder."""
    config = json.loads((folder / "config.json").read_text())
    return {
        "layers": config["depths"],
        "embed_dims": config["embed_dims"],
        "num_classes": len(config.get("id2label") or range(1000)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "target/release/swiftformer"))
    parser.add_argument("--tf-python", help="interpreter with TensorFlow; else that is left out")
    parser.add_argument("--tf-worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.tf_worker:
        tensorflow_worker(*args.tf_worker)
        return
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (case, source, pixels, expected) in enumerate(cases(folder)):
            architecture = architecture_of(source)

            def convert(layout: str, target: str, dialect: str) -> Path:
                path = folder / f"{number}_{target}"
                command = [args.binary, "convert", str(source), str(path)]
                command += ["--to", layout, "--dialect", dialect, "--quiet"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                return path

            paths = {
                "transformers": ("sum", convert("hf", "hf", "sum")),
                "timm": ("l2", convert("timm", "timm", "l2")),
                "original": ("l2", convert("original", "original.pth", "l2")),
            }
            if args.tf_python:
                paths["tensorflow"] = ("sum", convert("tf", "tf", "sum"))
            for library, (dialect, path) in paths.items():
                if library == "transformers":
                    logits = run_transformers(path, pixels)
                elif library == "timm":
                    logits = run_timm(path, pixels, architecture)
                elif library == "original":
                    logits = run_original(path, pixels, architecture)
                else:
                    logits = run_tensorflow(args.tf_python, path, pixels, folder)
                worst = float(np.abs(logits - expected[dialect]).max())
                verdict = "ok" if worst <= TOLERANCE else "WRONG"
                failures += verdict != "ok"
                line = f"{case:<12} {library:<13} {dialect:<4} differs by at most {worst:.1e}"
                print(f"{line}  {verdict}", flush=True)
    if not args.tf_python:
        print("tensorflow left out: no --tf-python")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
