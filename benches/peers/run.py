#!/usr/bin/env python3
"""Times this project's engine beside others: same machine, same minute, same weights, same input.

Setup (about 12 GB, and a C compiler; LiteRT's converter wants a PyTorch of its own, hence two environments):

    python3 -m venv peers
    peers/bin/pip install torch torchvision transformers safetensors onnx onnxscript onnxruntime openvino ncnn pnnx
    python3 -m venv peers-litert
    peers-litert/bin/pip install litert-torch ai-edge-litert transformers safetensors
    cargo build --release
    cargo build --release --manifest-path benches/peers/rust/Cargo.toml

Then

    peers/bin/python benches/peers/run.py --variants xs,l3 --threads 1

prints tables, and with `--page` measures and writes all of docs/benchmarks.md:

    peers/bin/python benches/peers/run.py --page --python litert=peers-litert/bin/python \\
        --work target/peers --output docs/benchmarks.md

Every engine runs in a process of its own that waits for a line, runs for a moment, and answers with its median and least time. The
engines take turns, round after round, so that all see the same clock. Before timing, all get the same images and must give
PyTorch's logits. What is not installed is left out with a line that says so; what fails is in the table.

The Python that runs this script needs torch and transformers; `--python ENGINE=PATH` names another one for an engine. Models and
conversions go to the folder of `--work` and are made once: remove it after changing the version of a converter.
"""
from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import holding
import report
from catalogue import ENGINES, FAST, TOLERANCE, Block, page
from measure import Stage, note
from prepare import SHAPES

HERE = Path(__file__).parent


def names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Parses a list with commas whose items must be known."""
    def parse(text: str) -> list[str]:
        items = text.split(",")
        for item in items:
            if item not in known:
                raise argparse.ArgumentTypeError(f"{item} is none of {', '.join(known)}")
        return items
    return parse


def numbers(text: str) -> list[int]:
    return [int(item) for item in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="measure what docs/benchmarks.md shows, whatever --variants, --threads, "
                        "--batch and --hold-avx2 say")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, models and engines")
    parser.add_argument("--variants", type=names(SHAPES), default=list(SHAPES), metavar="V,…")
    parser.add_argument("--engines", type=names(ENGINES), metavar="E,…", help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--threads", type=numbers, default=[1], metavar="N,…")
    parser.add_argument("--batch", type=numbers, default=[1], metavar="N,…")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="time of one turn of one engine")
    parser.add_argument("--isa", help="instruction set of our program; its best unless given")
    parser.add_argument("--hold-avx2", action="store_true", help="hold the peers to AVX2, and ours by --isa avx2")
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH", help="Python of an engine, such as "
                        "litert=peers-litert/bin/python")
    parser.add_argument("--program", type=Path, default=HERE.parents[1] / "target/release/swiftformer")
    parser.add_argument("--rust-peers", type=Path, default=HERE / "rust/target/release/peers", help="the program of rust/")
    parser.add_argument("--work", type=Path, help="folder for models and conversions; a temporary one unless given")
    parser.add_argument("--prepare", action="store_true", help="make the models and conversions and stop: --work keeps them for a "
                        "quiet hour")
    parser.add_argument("--output", type=Path, help="write the page as Markdown")
    options = parser.parse_args()
    options.python = dict(item.split("=", 1) for item in options.python)
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.25 if options.quick else 0.4)
    fast = [name for name in ENGINES if name in FAST]
    options.engines = options.engines or (fast if options.quick else list(ENGINES))
    if "ours" not in options.engines:
        options.engines.insert(0, "ours")
    return options


def plan(options: argparse.Namespace) -> list[Block]:
    if options.page:
        return page(options.quick, options.hold is not None)
    return [Block(tuple(options.variants), threads, batch, tuple(options.engines), options.hold_avx2)
            for batch in options.batch for threads in options.threads]


def command(options: argparse.Namespace) -> str:
    """The command that writes the page, with the folders that the setup names."""
    start, words = "peers/bin/python benches/peers/run.py", iter(sys.argv[1:])
    kept = []
    for word in words:
        if word in ("--python", "--program", "--rust-peers", "--work", "--output"):
            next(words, None)
        elif not word.startswith(("--python=", "--program=", "--rust-peers=", "--work=", "--output=")):
            kept.append(word)
    places = "--python litert=peers-litert/bin/python --work target/peers --output docs/benchmarks.md"
    return f"{start} {' '.join(kept)} \\\n    {places}"


def main() -> None:
    options = arguments()
    # Ends like Ctrl-C does, so that no stopped child is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        options.work = (options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        options.work.mkdir(parents=True, exist_ok=True)
        compare(options)


def compare(options: argparse.Namespace) -> None:
    options.hold = holding.library(options.work)
    stage = Stage(options)
    blocks = plan(options)
    # All conversions come first: the measurements then follow each other closely.
    for block in blocks:
        for variant in block.variants:
            stage.ready(block, variant)
    if options.prepare:
        return
    measured = []
    for block in blocks:
        note(f"== {block.title}")
        measured.append((block, [stage.measure(block, variant) for variant in block.variants]))
    deviations = [one.deviation for _, group in measured for one in group]
    introduction = {"size": options.size, "seconds": options.seconds, "rounds": options.rounds,
                    "deviation": max(deviations), **TOLERANCE}
    text = report.page(stage, measured, command(options), introduction)
    if options.output:
        options.output.write_text(text)
        note(f"wrote {options.output}")
    else:
        print(text)


if __name__ == "__main__":
    main()
