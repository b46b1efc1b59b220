#!/usr/bin/env python3
"""Times a training step (forward, backward, AdamW) of this project's trainer and of PyTorch eager, in turns.

Needs the environment of run.py (its head tells how to make it) and

    cargo build --release -p swiftformer-train --example step

Then

    peers/bin/python benches/peers/train_step.py --step target/release/examples/step

has both train both heads in f32 on random images. Each turn is a process of its own: the first step warms it up, and the least
of the others and the process's largest memory count. PyTorch runs with and without channels-last, and what is faster counts.
`--page docs/benchmarks.md` also writes the table into the page that run.py made.
"""
from __future__ import annotations

import argparse
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report

HEADING = "## A training step"
ORDERS = ("channels first", "channels last")


def pytorch(variant: str, batch: int, side: int, threads: int, steps: int, channels_last: bool) -> None:
    """One turn of PyTorch: prints milliseconds and the process's peak memory in MiB."""
    import timm
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = timm.create_model(f"swiftformer_{variant}").train()
    images = torch.randn(batch, 3, side, side)
    if channels_last:
        model, images = model.to(memory_format=torch.channels_last), images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch) * 31 % 1000
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.025)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    least = float("inf")
    for step in range(steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()
        if step > 0:
            least = min(least, time.perf_counter() - start)
    print(least * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def turn(command: list[str], pattern: str) -> tuple[float, float]:
    """Runs a command; milliseconds and MiB from what it prints."""
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(pattern, output)
    if not found:
        raise SystemExit(f"{command[0]} printed {output!r}")
    return float(found[1]), float(found[2])


def row(options: argparse.Namespace, size: str) -> str:
    """All turns of one size, as a row of the table."""
    common = ["--threads", str(options.threads), "--steps", str(options.steps)]
    ours: list[tuple[float, float]] = []
    peers: dict[str, list[tuple[float, float]]] = {order: [] for order in ORDERS}
    for _ in range(options.rounds):
        ours.append(turn([options.step, options.variant, size, *common], r"([\d.]+) ms .*peak ([\d.]+)"))
        for order, turns in peers.items():
            command = [sys.executable, __file__, "--child", order, "--variant", options.variant, "--sizes", size, *common]
            turns.append(turn(command, r"([\d.]+) ([\d.]+)"))
    order = min(ORDERS, key=lambda order: min(time for time, _ in peers[order]))
    theirs = peers[order]
    ratio = statistics.median(min(peers[order][at][0] for order in ORDERS) / mine for at, (mine, _) in enumerate(ours))
    least, peer_least = min(time for time, _ in ours), min(time for time, _ in theirs)
    memory, peer_memory = (max(peak for _, peak in turns) for turns in (ours, theirs))
    batch, side = size.split("x")
    return (f"| {batch} | {side}² | {least:.1f} | {peer_least:.1f} | {order} | {peer_least / least:.2f} | {ratio:.2f} | "
            f"{memory:.0f} | {peer_memory:.0f} |")


def introduction(options: argparse.Namespace) -> list[str]:
    from importlib.metadata import version

    return [HEADING, "",
            f"`benches/peers/train_step.py --rounds {options.rounds} --steps {options.steps}` writes this section. Forward, backward "
            f"and AdamW of SwiftFormer-{options.variant.upper()} with both heads in f32, {options.threads} threads, random images. "
            "Turns alternate, each a process of its own, whose least step after the first and whose largest memory count. PyTorch "
            "runs timm's model eagerly, with and without channels-last; what is faster counts. The first ratio is that of the "
            "least times, the second the median of the rounds' ratios.", "",
            f"torch {version('torch')}, timm {version('timm')}; {report.machine()[0].removeprefix('- ')}.", "",
            "| batch | side | ours, ms | PyTorch, ms | its order | ratio | median ratio | ours, MiB | PyTorch, MiB |",
            "|---:|---:|---:|---:|---|---:|---:|---:|---:|"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", help="our program")
    parser.add_argument("--variant", default="xs")
    parser.add_argument("--sizes", nargs="+", default=["8x224", "16x128", "32x64"], metavar="BATCHxSIDE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--page", type=Path, help="write the table into this page, too")
    parser.add_argument("--child", choices=ORDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        batch, side = map(int, options.sizes[0].split("x"))
        return pytorch(options.variant, batch, side, options.threads, options.steps, options.child == "channels last")
    if not options.step:
        parser.error("--step is needed")
    lines = introduction(options)
    print("\n".join(lines), flush=True)
    for size in options.sizes:
        lines.append(row(options, size))
        print(lines[-1], flush=True)
    if options.page:
        report.into_page(options.page, HEADING, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
