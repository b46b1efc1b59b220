"""Runs one block: prepares files, starts the engines, checks their logits, has them take turns."""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from catalogue import ENGINES, TOLERANCE, Block, Engine, crate_versions
from contestants import Cell, Child, Failed, Ours, Program, Turn
from holding import environment
from prepare import batch_folder, product

HERE = Path(__file__).parent
PROBE = """
import importlib.metadata as m, json, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


@dataclass
class Result:
    """One engine on one model in one block."""

    engine: Engine
    turns: list[Turn] = field(default_factory=list)
    # Largest difference from PyTorch's logits; None where it could not be checked.
    difference: float | None = None
    # Why there are no times.
    failure: str | None = None
    # Whether the kernel saw AVX-512 state during the turns; None where it does not tell.
    saw_avx512: bool | None = None

    def median(self) -> float:
        return statistics.median(turn.median for turn in self.turns)

    def least(self) -> float:
        return min(turn.least for turn in self.turns)


@dataclass
class Measured:
    """One model in one block."""

    variant: str
    results: dict[str, Result]
    macs: int = 0
    deviation: float = 0.0
    # Instruction set of ours, by precision.
    isas: dict[str, str] = field(default_factory=dict)

    def base(self, precision: str) -> Result | None:
        """Our own times at that precision."""
        for name in ("ours", "ours-bf16"):
            result = self.results.get(name)
            if result and result.turns and result.engine.precision == precision:
                return result
        return None

    def ratio(self, result: Result) -> float | None:
        """Median of the round-by-round ratios to ours at the same precision."""
        base = self.base(result.engine.precision)
        if not base or not result.turns:
            return None
        return statistics.median(theirs.median / mine.median for theirs, mine in zip(result.turns, base.turns))

    def share(self, result: Result, batch: int) -> float | None:
        """Of the ceiling for that precision that the same round measured."""
        base = self.base(result.engine.precision)
        if not base or not result.turns or not self.macs:
            return None
        operations = 2e-6 * self.macs * batch
        return statistics.median(operations / theirs.median / mine.ceiling for theirs, mine in zip(result.turns, base.turns))

    def ceilings(self, precision: str) -> list[float]:
        base = self.base(precision)
        return [turn.ceiling for turn in base.turns] if base else []


class Stage:
    """Everything that the blocks share: programs, environments, folders."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.work: Path = options.work
        self.program = Program(options.program)
        self.versions: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self.logs = self.work / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.look_around()

    def python(self, engine: str) -> str:
        family = engine.removesuffix("-bf16").removesuffix("-compiled")
        return self.options.python.get(engine) or self.options.python.get(family) or sys.executable

    def look_around(self) -> None:
        """Finds out which engines are installed."""
        crates = crate_versions(HERE / "rust/Cargo.lock")
        for name in self.options.engines:
            engine = ENGINES[name]
            if engine.kind == "ours":
                if not self.program.has_precision("bench", engine.precision):
                    self.missing[name] = f"this build of the program has no `--precision {engine.precision}`"
            elif engine.kind == "rust":
                if self.options.rust_peers.is_file():
                    self.versions |= {package: crates.get(package, "?") for package in engine.packages}
                else:
                    self.missing[name] = f"{self.options.rust_peers.name} is not built: see benches/peers/rust"
            else:
                self.look_for(engine)
        for name, reason in self.missing.items():
            note(f"{name} is left out: {reason}")

    def look_for(self, engine: Engine) -> None:
        command = [self.python(engine.name), "-c", PROBE, *engine.packages]
        try:
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        except (OSError, subprocess.CalledProcessError, ValueError):
            self.missing[engine.name] = "its Python does not run"
            return
        absent = [name for name, version in found.items() if version is None]
        if absent:
            self.missing[engine.name] = f"{', '.join(absent)} not installed"
        else:
            # The environment that converts for one engine may have its own PyTorch: the first one named counts.
            self.versions = found | self.versions

    def prepare(self, what: str, python: str, cell: Cell) -> None:
        """Makes one file, unless it is there."""
        if product(what, cell.folder, cell.batch).is_file():
            return
        if what == "ncnn" and cell.batch != 1:
            cell = replace(cell, batch=1)
            self.prepare("model", sys.executable, cell)
        note(f"preparing {what} of {cell.variant}, batch {cell.batch}")
        command = [python, str(HERE / "prepare.py"), what, "--folder", str(cell.folder), "--variant", cell.variant,
                   "--size", str(cell.size), "--batch", str(cell.batch)]
        log = cell.logs / f"prepare-{what}-{cell.variant}-{cell.batch}.txt"
        with log.open("w") as out:
            status = subprocess.run(command, check=False, stdout=out, stderr=out).returncode
        if status:
            last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
            raise Failed(f"no {what} file: {last}")

    def start(self, engine: Engine, cell: Cell, held: bool) -> Child | Ours:
        if engine.kind == "ours":
            return Ours(engine, self.program, "avx2" if held else self.options.isa, cell)
        if held and not self.options.hold and not engine.own_switch:
            raise Failed("cannot be held to AVX2 on this machine")
        # Code that was compiled for one instruction set must not be found by the other.
        caches = {"TORCHINDUCTOR_CACHE_DIR": str(self.work / ("inductor-avx2" if held else "inductor"))}
        settings = environment(self.options.hold) if held else {}
        cell = replace(cell, environment=caches | settings)
        if engine.kind == "rust":
            return Child.rust(engine, self.options.rust_peers, cell)
        return Child.python(engine, self.python(engine.name), cell)

    def ready(self, block: Block, variant: str) -> tuple[Cell, dict[str, Failed]]:
        """Prepares every file that the block's engines need; conversions must not run beside a measurement."""
        folder = self.work / f"{variant}-{self.options.size}"
        options = self.options
        cell = Cell(folder, variant, options.size, block.batch, block.threads, options.seconds, self.logs)
        self.prepare("model", sys.executable, cell)
        failures = {}
        for name in self.present(block):
            engine = ENGINES[name]
            try:
                if engine.conversion:
                    self.prepare(engine.conversion, self.python(name), cell)
            except Failed as reason:
                failures[name] = reason
        return cell, failures

    def present(self, block: Block) -> list[str]:
        return [name for name in block.engines if name in self.options.engines and name not in self.missing]

    def measure(self, block: Block, variant: str) -> Measured:
        cell, failures = self.ready(block, variant)
        measured = Measured(variant, {name: Result(ENGINES[name]) for name in self.present(block)})
        expected = json.loads((batch_folder(cell.folder, cell.batch) / "expected.json").read_text())
        measured.deviation = expected["deviation"]
        running: dict[str, Child | Ours] = {}
        try:
            for name, result in measured.results.items():
                try:
                    if name in failures:
                        raise failures[name]
                    running[name] = self.start(result.engine, cell, block.held)
                except (Failed, OSError) as reason:
                    result.failure = str(reason)
            for name in list(running):
                check(running[name], measured.results[name], expected["logits"])
                if measured.results[name].failure:
                    running.pop(name).close()
            begin = time.monotonic()
            for round_number in range(self.options.rounds):
                take_turns(round_number, running, measured.results)
            self.look_back(running, measured, time.monotonic() - begin)
        finally:
            for contestant in running.values():
                contestant.close()
        for name, result in measured.results.items():
            note(f"{variant} {name}: " + (result.failure or f"{result.median():.2f} ms"))
        return measured

    def look_back(self, running: dict, measured: Measured, seconds: float) -> None:
        for name, contestant in running.items():
            since = contestant.since_avx512()
            measured.results[name].saw_avx512 = None if since is None else since < seconds
            if isinstance(contestant, Ours) and contestant.report:
                measured.macs = contestant.report["macs"]
                measured.isas[measured.results[name].engine.precision] = contestant.report["isa"]


def check(contestant: Child | Ours, result: Result, expected: list[list[float]]) -> None:
    """Compares the logits with PyTorch's."""
    try:
        logits = contestant.logits()
    except Failed as reason:
        result.failure = str(reason)
        return
    if logits is None:
        return
    if [len(row) for row in logits] != [len(row) for row in expected]:
        result.failure = "gives logits of another shape"
        return
    pairs = ((a, b) for row, other in zip(logits, expected) for a, b in zip(row, other))
    result.difference = max(abs(a - b) for a, b in pairs)
    # Written so that NaN fails.
    if not result.difference <= TOLERANCE[result.engine.precision]:
        result.failure = f"gives other logits: they differ by {result.difference:.2g}"


def take_turns(round_number: int, running: dict[str, Child | Ours], results: dict[str, Result]) -> None:
    """One round. An engine that fails is out of the block, times and all: the ratios pair the rounds."""
    names = list(running)
    # Each round begins with another engine, so that none always follows the same one.
    first = round_number % max(len(names), 1)
    for name in names[first:] + names[:first]:
        try:
            results[name].turns.append(running[name].turn())
        except (Failed, ValueError, KeyError) as reason:
            results[name].failure = str(reason)
            results[name].turns.clear()
            running.pop(name).close()


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
