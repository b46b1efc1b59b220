"""Times a training step (forward, backward, AdamW) of ours and of PyTorch eager, in turns.

    train_step.py --step target/release/examples/step [--variant xs] [--sizes 32x64 16x128 8x224] [--threads 2] [--rounds 3]

Both train both heads in f32 on random images. Each turn is a process of its own that takes the least of its steps; PyTorch
runs with and without channels-last, and the faster one counts. Needs torch and timm for PyTorch's turns.
"""
from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import time


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
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()
        least = min(least, time.perf_counter() - start)
    print(least * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def turn(command: list[str], pattern: str) -> tuple[float, float]:
    """Runs a command; milliseconds and MiB from what it prints."""
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(pattern, output)
    if not found:
        raise SystemExit(f"{command[0]} printed {output!r}")
    return float(found[1]), float(found[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", help="our program")
    parser.add_argument("--variant", default="xs")
    parser.add_argument("--sizes", nargs="+", default=["32x64", "16x128", "8x224"], metavar="BATCHxSIDE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--child", choices=["first", "last"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        batch, side = map(int, options.sizes[0].split("x"))
        pytorch(options.variant, batch, side, options.threads, options.steps, options.child == "last")
        return
    if not options.step:
        parser.error("--step is needed")
    common = ["--threads", str(options.threads), "--steps", str(options.steps)]
    print("| batch × side | ours, ms | PyTorch, ms | ratio | ours, MiB | PyTorch, MiB |\n|---|---|---|---|---|---|")
    for size in options.sizes:
        contestants = {"ours": ([options.step, options.variant, size, *common], r"([\d.]+) ms .*peak ([\d.]+)")}
        for order in ("first", "last"):
            command = [sys.executable, __file__, "--child", order, "--variant", options.variant, "--sizes", size, *common]
            contestants[order] = (command, r"([\d.]+) ([\d.]+)")
        least = {name: (float("inf"), 0.0) for name in contestants}
        for _ in range(options.rounds):
            for name, (command, pattern) in contestants.items():
                least[name] = min(least[name], turn(command, pattern))
        ours, peer = least["ours"], min(least["first"], least["last"])
        print(f"| {size} | {ours[0]:.0f} | {peer[0]:.0f} | {peer[0] / ours[0]:.2f} | {ours[1]:.0f} | {peer[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
