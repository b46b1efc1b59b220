#!/usr/bin/env python3
"""Times this project's engine beside others: same machine, same minute, same weights, same input.

Setup (about 4 GB):

    python3 -m venv peers && peers/bin/pip install torch torchvision transformers timm onnx onnxscript onnxruntime openvino
    cargo build --release
    peers/bin/python benches/peers/run.py --variants xs,l3 --threads 1

Every engine runs in a process of its own that waits for a line, runs for a moment, and answers with its median time. The
engines take turns, round after round, so that all see the same clock; the table gives the median over the rounds and the
median of the round-by-round ratios to ours. Before timing, all engines get the same image and must give the same logits.

`--output FILE` writes the table as Markdown.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENGINES = ("ours", "openvino", "openvino-bf16", "onnxruntime", "torch", "torch-compiled")
# Largest difference of logits that counts as the same answer, by the engine's precision.
TOLERANCE = {"f32": 1e-3, "bf16": 0.5}


def make_model(variant: str, folder: Path, size: int) -> None:
    """A transformers model with random weights whose activations stay near one, as a folder and as ONNX."""
    import torch
    from transformers import SwiftFormerConfig, SwiftFormerForImageClassification

    shapes = {
        "xs": ([3, 3, 6, 4], [48, 56, 112, 220]),
        "s": ([3, 3, 9, 6], [48, 64, 168, 224]),
        "l1": ([4, 3, 10, 5], [48, 96, 192, 384]),
        "l3": ([4, 4, 12, 6], [64, 128, 320, 512]),
    }
    depths, dims = shapes[variant]
    torch.manual_seed(0)
    config = SwiftFormerConfig(depths=depths, embed_dims=dims, num_labels=1000, layer_scale_init_value=0.3)
    model = SwiftFormerForImageClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and parameter.shape[0] > 1 and parameter[0].numel() > 1:
                parameter.normal_(0, 1.2 / parameter[0].numel() ** 0.5)
        model.train()
        for _ in range(8):
            model(torch.randn(4, 3, size, size))
    model.eval().save_pretrained(folder)
    image = torch.randn(1, 3, size, size)
    torch.onnx.export(model, (image,), str(folder / "model.onnx"), input_names=["pixel_values"],
                      output_names=["logits"], opset_version=17, dynamo=False)
    from safetensors.torch import save_file
    save_file({"pixel_values": image}, str(folder / "input.safetensors"))


class Python:
    """An engine with a Python interface; `run` gives the logits."""

    def __init__(self, engine: str, folder: Path, threads: int):
        from safetensors.numpy import load_file
        self.image = load_file(str(folder / "input.safetensors"))["pixel_values"]
        onnx = str(folder / "model.onnx")
        if engine.startswith("openvino"):
            import openvino
            settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
                        "INFERENCE_PRECISION_HINT": "bf16" if engine.endswith("bf16") else "f32"}
            request = openvino.compile_model(onnx, "CPU", settings).create_infer_request()
            self.run = lambda: request.infer([self.image])[0]
        elif engine == "onnxruntime":
            import onnxruntime
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
            self.run = lambda: session.run(None, {"pixel_values": self.image})[0]
        else:
            import torch
            from transformers import SwiftFormerForImageClassification
            torch.set_num_threads(threads)
            model = SwiftFormerForImageClassification.from_pretrained(folder).eval()
            if engine == "torch-compiled":
                os.environ["TORCHINDUCTOR_FREEZING"] = "1"
                import torch._inductor.config
                torch._inductor.config.freezing = True
                model = torch.compile(model)
            tensor = torch.from_numpy(self.image)

            def run():
                with torch.inference_mode():
                    return model(tensor).logits.numpy()
            self.run = run


def serve(engine: str, folder: Path, threads: int, seconds: float) -> None:
    """The child process: logits first, then a median for every line on stdin."""
    peer = Python(engine, folder, threads)
    print(json.dumps([float(value) for value in peer.run()[0]]), flush=True)
    for _ in range(3):
        peer.run()
    for _ in sys.stdin:
        times = []
        start = time.perf_counter()
        while time.perf_counter() - start < seconds or len(times) < 5:
            before = time.perf_counter()
            peer.run()
            times.append(time.perf_counter() - before)
        print(json.dumps(statistics.median(times) * 1e3), flush=True)


class Child:
    """A peer in a process of its own."""

    def __init__(self, engine: str, folder: Path, options):
        command = [sys.executable, __file__, "--serve", engine, "--folder", str(folder), "--threads",
                   str(options.threads), "--seconds", str(options.seconds)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.logits = json.loads(self.process.stdout.readline())

    def milliseconds(self) -> float:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Ours:
    """This project's program."""

    def __init__(self, folder: Path, options):
        self.command = [options.program, "bench", "--model", str(folder), "--threads", str(options.threads), "--size",
                        f"{options.size}x{options.size}", "--seconds", str(options.seconds), "--format", "json"]
        output = folder / "output.safetensors"
        subprocess.run([options.program, "forward", str(folder / "input.safetensors"), "--model", str(folder),
                        "--output", str(output)], check=True)
        from safetensors.numpy import load_file
        self.logits = [float(value) for value in load_file(str(output))["logits"][0]]

    def milliseconds(self) -> float:
        result = json.loads(subprocess.run(self.command, check=True, capture_output=True, text=True).stdout)
        self.peak_fraction, self.ceiling = result["peak_fraction"], result["ceiling_gflops"]
        return result["median_ms"]


def compare(variant: str, options) -> list:
    """Rows (engine, median ms, ratio to ours, largest difference of logits)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_model(variant, folder, options.size)
        engines = {name: Ours(folder, options) if name == "ours" else Child(name, folder, options)
                   for name in options.engines}
        ours = engines["ours"]
        differences = {}
        for name, engine in engines.items():
            differences[name] = max(abs(a - b) for a, b in zip(engine.logits, ours.logits))
            allowed = TOLERANCE["bf16" if name.endswith("bf16") else "f32"]
            if not differences[name] <= allowed:
                raise SystemExit(f"{name} gives other logits on {variant}: they differ by {differences[name]:.2e}")
        times = {name: [] for name in engines}
        for _ in range(options.rounds):
            for name, engine in engines.items():
                times[name].append(engine.milliseconds())
        print(f"{variant}: ours at {100 * ours.peak_fraction:.0f} % of {ours.ceiling:.0f} GFLOP/s", file=sys.stderr)
        rows = []
        for name in engines:
            ratios = [theirs / mine for theirs, mine in zip(times[name], times["ours"])]
            rows.append((name, statistics.median(times[name]), statistics.median(ratios), differences[name]))
        return rows


def versions() -> str:
    from importlib.metadata import PackageNotFoundError, version
    found = []
    for package in ("torch", "onnxruntime", "openvino"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            pass
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default="xs,s,l1,l3")
    parser.add_argument("--engines", default=",".join(ENGINES), type=lambda text: text.split(","))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="time of one turn of one engine")
    parser.add_argument("--program", default=str(Path(__file__).parents[2] / "target/release/swiftformer"))
    parser.add_argument("--output", type=Path, help="write the table as Markdown")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.folder, options.threads, options.seconds)
    if "ours" not in options.engines:
        options.engines.insert(0, "ours")
    lines = [f"{platform.machine()}, {options.threads} thread(s), {options.size}×{options.size}, batch 1, "
             f"{options.rounds} rounds; {versions()}.", "",
             "| model | engine | ms | its time over ours | largest difference of logits |", "|---|---|---|---|---|"]
    for variant in options.variants.split(","):
        for name, milliseconds, ratio, difference in compare(variant, options):
            lines.append(f"| {variant} | {name} | {milliseconds:.2f} | {ratio:.2f} | {difference:.1e} |")
            print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
