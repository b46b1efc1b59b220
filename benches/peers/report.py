"""The page of results, as Markdown."""
from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from catalogue import ENGINES, Block
from measure import Measured, Result, Stage

# What decides how fast such a network runs.
FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8",
         "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2")

INTRODUCTION = """# Benchmarks

`benches/peers/run.py` writes this page; do not edit it. Images of {size}×{size}, random weights from a fixed seed, the same
weights and images for all.

## How it is measured

Each engine runs in a process of its own. In every round each of them runs for {seconds} s, one after the other, while the others
are stopped; {rounds} rounds. All therefore see the same clock and the same neighbours. An engine's turn gives a median and a
minimum. Tables give the median of the medians, the least of the minima, and the median of the round-by-round ratios to ours at
the same precision. The largest difference of logits is that from PyTorch's eager 32-bit logits of the same images, whose standard
deviation is about {deviation:.0f}; an engine that differs by more than {f32:g} (bf16: {bf16:g}) is not timed.

The ceiling is the rate of multiply-adds on registers that `swiftformer bench` measures between its runs, in the same rounds, all
threads together: in bf16 those of AVX-512's own instruction where there is one, on CPUs with AMX those of f32. An engine's share
of it counts the multiply-adds of the network as its layers are written, whatever the engine does.
"""


def machine() -> list[str]:
    lines = []
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    present = set(flags.group(1).split()) if flags else set()
    name = model.group(1) if model else platform.processor() or "unknown processor"
    virtual = ", virtual machine" if "hypervisor" in present else ""
    lines.append(f"- {name}, {os.cpu_count()} logical cores{virtual}, {platform.machine()}, {platform.system()}")
    lines.append("- instruction sets: " + " ".join(flag for flag in FLAGS if flag in present))
    caches = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = (index / "type").read_text().strip()
        if kind != "Instruction":
            caches.append(f"L{(index / 'level').read_text().strip()} {(index / 'size').read_text().strip()}")
    if caches:
        lines.append("- caches seen by one core: " + ", ".join(caches))
    return lines


def engines(stage: Stage) -> list[str]:
    lines = ["| engine | precision | version | settings |", "|---|---|---|---|"]
    for name in stage.options.engines:
        engine = ENGINES[name]
        if name in stage.missing:
            continue
        if engine.kind == "ours":
            version = stage.program.version.split()[-1]
        else:
            version = ", ".join(f"{package} {stage.versions.get(package, '?')}" for package in engine.packages)
        lines.append(f"| {engine.title} | {engine.precision} | {version} | {engine.settings} |")
    left_out = [f"- {ENGINES[name].title} {ENGINES[name].precision}: {why}" for name, why in stage.missing.items()]
    return lines + (["", "Left out:", "", *left_out] if left_out else [])


def number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def at_a_glance(block: Block, measured: list[Measured]) -> list[str]:
    """One row an engine, one column a model."""
    unit = "ms" if block.batch == 1 else "images/s"
    heads = "".join(f" {one.variant.upper()} |" for one in measured)
    lines = [f"Median, {unit}:", "", f"| engine | precision |{heads}", "|---|---|" + "---:|" * len(measured)]
    for precision in ("f32", "bf16"):
        for name in block.engines:
            results = [one.results.get(name) for one in measured]
            engine = ENGINES[name]
            if engine.precision != precision or not any(results):
                continue
            cells = "".join(f" {headline(block, result)} |" for result in results)
            title = f"**{engine.title}**" if engine.kind == "ours" else engine.title
            lines.append(f"| {title} | {precision} |{cells}")
    return lines


def headline(block: Block, result: Result | None) -> str:
    if result is None:
        return "–"
    if result.failure:
        return "failed"
    return f"{result.median():.2f}" if block.batch == 1 else f"{1e3 * block.batch / result.median():.1f}"


def details(block: Block, one: Measured, work: Path) -> list[str]:
    """All numbers of one model, fastest first."""
    ceilings = []
    for precision in ("f32", "bf16"):
        values = one.ceilings(precision)
        if values:
            middle = sorted(values)[len(values) // 2]
            ceilings.append(f"{middle:.0f} GFLOP/s in {precision} ({min(values):.0f} to {max(values):.0f})")
    isas = ", ".join(f"{isa} for {precision}" for precision, isa in one.isas.items())
    ours = f" Ours runs on {isas}." if isas else ""
    lines = [f"### {one.variant.upper()}", "", f"Ceiling: {', '.join(ceilings) or 'not measured'}.{ours}", ""]
    batches = block.batch > 1
    times = "median, images/s | best, images/s" if batches else "median, ms | least, ms"
    seen = " AVX-512 seen |" if block.held else ""
    lines.append(f"| engine | precision | {times} | its time over ours | of the ceiling | largest difference of logits |{seen}")
    lines.append("|---|---|---:|---:|---:|---:|---:|" + ("---|" if block.held else ""))
    results = sorted(one.results.values(), key=lambda result: (result.engine.precision != "f32", bool(result.failure),
                                                               result.median() if result.turns else 0))
    return lines + [row(block, one, result, work) for result in results]


def row(block: Block, one: Measured, result: Result, work: Path) -> str:
    engine = result.engine
    title = f"**{engine.title}**" if engine.kind == "ours" else engine.title
    start = f"| {title} | {engine.precision} |"
    difference = number(result.difference, ".1e")
    seen = {True: " yes |", False: " no |", None: " – |"}[result.saw_avx512] if block.held else ""
    if result.failure:
        reason = re.sub(r"[|\n]", " ", result.failure.replace(f"{work}/", ""))[:160]
        return f"{start} **failed**: {reason} | – | – | – | {difference} |{seen}"
    if block.batch > 1:
        times = f"{1e3 * block.batch / result.median():.1f} | {1e3 * block.batch / result.least():.1f}"
    else:
        times = f"{result.median():.2f} | {result.least():.2f}"
    share = one.share(result, block.batch)
    percent = "–" if share is None else f"{100 * share:.0f} %"
    return f"{start} {times} | {number(one.ratio(result), '.2f')} | {percent} | {difference} |{seen}"


def held_note(stage: Stage) -> list[str]:
    if stage.options.hold:
        return ["The peers see a processor without AVX-512, AMX and AVX-VNNI: the kernel makes `cpuid` fault and",
                "`benches/peers/hold_avx2.c` answers instead, whichever way a library asks. oneDNN, PyTorch and MKL are also told by",
                "their own variables. MLAS (ONNX Runtime), XNNPACK (LiteRT), ncnn, rten and tract have no switch. Ours runs with",
                "`--isa avx2`. The last column says whether the kernel saw AVX-512 registers in use in the engine's threads during",
                "the turns (`/proc/PID/arch_status`), which it looks at whenever it switches between threads."]
    return ["This machine cannot make `cpuid` fault, so only engines with a switch of their own are held: oneDNN (in OpenVINO and",
            "PyTorch), PyTorch and MKL. MLAS (ONNX Runtime), XNNPACK (LiteRT), ncnn, rten and tract have none. Ours runs with",
            "`--isa avx2`."]


def page(stage: Stage, blocks: list[tuple[Block, list[Measured]]], command: str, introduction: dict) -> str:
    lines = [INTRODUCTION.format(**introduction), "This command writes the page; the setup stands at the head of the script:", "",
             "```", command, "```", "", "## Machine", "", *machine(), "", "## Engines", "", *engines(stage), ""]
    for block, measured in blocks:
        lines += [f"## {block.title}", ""]
        if block.held:
            lines += [*held_note(stage), ""]
        lines += [*at_a_glance(block, measured), ""]
        for one in measured:
            lines += [*details(block, one, stage.work), ""]
    return "\n".join(lines).rstrip() + "\n"


def into_page(page: Path, heading: str, text: str) -> None:
    """Replaces the section that begins with `heading` by `text`, which begins so too, or appends it."""
    before, found, after = page.read_text().partition(heading)
    rest = after.partition("\n## ")[2] if found else ""
    page.write_text(before.rstrip("\n") + "\n\n" + text + (f"\n## {rest}" if rest else ""))
