"""Every engine that can take part: what it needs, how it is set, how it is held to AVX2."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# Largest difference of logits that counts as the same answer. The logits' standard deviation is about 4: 32-bit engines differ by
# about 1e-5, so 1e-3 shows another network; bf16 keeps eight bits of each value.
TOLERANCE = {"f32": 1e-3, "bf16": 0.5}


@dataclass(frozen=True)
class Engine:
    """One engine at one precision."""

    name: str
    title: str
    precision: str
    # "ours" (the program), "python" (serve.py) or "rust" (the program in rust/).
    kind: str
    # Distributions of the Python environment, or crates, whose versions the page gives; the first one is what runs.
    packages: tuple[str, ...]
    settings: str
    # The prepared file that it needs: a method of prepare.py, or none beyond the model itself.
    conversion: str | None = None
    # Whether its own environment variables can hold it to AVX2, without faulting on cpuid.
    own_switch: bool = False


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("ours", "SwiftFormer", "f32", "ours", (), "a process for each turn, with the model folder that PyTorch wrote"),
        Engine("ours-bf16", "SwiftFormer", "bf16", "ours", (), "as above with `--precision bf16`"),
        Engine("openvino", "OpenVINO", "f32", "python", ("openvino",),
               "ONNX file; `INFERENCE_PRECISION_HINT=f32`, `PERFORMANCE_HINT=LATENCY`, one stream", "onnx", True),
        Engine("openvino-bf16", "OpenVINO", "bf16", "python", ("openvino",),
               "as above with `INFERENCE_PRECISION_HINT=bf16`", "onnx", True),
        Engine("litert", "LiteRT", "f32", "python", ("ai-edge-litert", "litert-torch"),
               "litert-torch's conversion with NHWC input; XNNPACK delegate, `num_threads`", "litert"),
        Engine("onnxruntime", "ONNX Runtime", "f32", "python", ("onnxruntime",),
               "ONNX file; CPU provider, all graph optimisations, `intra_op_num_threads`", "onnx"),
        Engine("ncnn", "ncnn", "f32", "python", ("ncnn", "pnnx"),
               "pnnx with `fp16=0`; `num_threads`, fp16 off; a batch is its images one after the other, since ncnn has no batches",
               "ncnn"),
        Engine("ncnn-bf16", "ncnn", "bf16", "python", ("ncnn", "pnnx"), "as above with `use_bf16_storage`", "ncnn"),
        Engine("torch", "PyTorch eager", "f32", "python", ("torch", "transformers"),
               "transformers' model under `inference_mode`", None, True),
        Engine("torch-compiled", "PyTorch compiled", "f32", "python", ("torch", "transformers"),
               "the same with `torch.compile`, freezing on", None, True),
        Engine("rten", "rten", "f32", "rust", ("rten",), "ONNX file; `prepack_weights`, a thread pool of that size", "onnx"),
        Engine("tract", "tract", "f32", "rust", ("tract-onnx",),
               "ONNX file; `into_optimized`, its multithreaded matrix product for more than one thread", "onnx"),
    )
}

# Those whose times say something about the best to be had; the rest would lengthen the long blocks.
FAST = ("ours", "ours-bf16", "openvino", "openvino-bf16", "litert", "onnxruntime", "ncnn")


@dataclass(frozen=True)
class Block:
    """A group of measurements that share everything but the variant: one section of the page."""

    variants: tuple[str, ...]
    threads: int
    batch: int
    engines: tuple[str, ...]
    held: bool = False

    @property
    def title(self) -> str:
        threads = f"{self.threads} thread" + ("s" if self.threads > 1 else "")
        images = "one image" if self.batch == 1 else f"batches of {self.batch}"
        return f"{images.capitalize()}, {threads}" + (", held to AVX2" if self.held else "")


def page(quick: bool, held: bool) -> list[Block]:
    """The blocks of the published page."""
    everything = tuple(ENGINES)
    f32 = tuple(name for name in FAST if ENGINES[name].precision == "f32")
    if quick:
        blocks = [Block(("xs", "l3"), 1, 1, FAST), Block(("xs",), 2, 1, FAST), Block(("xs",), 2, 8, FAST)]
        return blocks + ([Block(("xs",), 1, 1, f32, True)] if held else [])
    blocks = [
        Block(("xs", "s", "l1", "l3"), 1, 1, everything),
        Block(("xs", "l3"), 2, 1, tuple(name for name in everything if name != "torch-compiled")),
        Block(("xs", "l3"), 2, 8, FAST),
    ]
    return blocks + ([Block(("xs", "l3"), 1, 1, f32, True)] if held else [])


def crate_versions(lock: Path) -> dict[str, str]:
    """Versions in a Cargo.lock."""
    if not lock.is_file():
        return {}
    pairs = re.findall(r'^name = "([^"]+)"\nversion = "([^"]+)"', lock.read_text(), re.MULTILINE)
    return dict(pairs)
