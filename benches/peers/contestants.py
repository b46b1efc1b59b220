"""The engines seen from outside: processes that take turns."""
from __future__ import annotations

import array
import json
import math
import os
import select
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from catalogue import Engine
from prepare import batch_folder, product

HERE = Path(__file__).parent
# torch.compile needs most of it on the largest model; everything else is ready in seconds.
START_SECONDS = 420
TURN_SECONDS = 120


class Failed(Exception):
    """An engine gave no answer; the text says why."""


@dataclass
class Turn:
    """What one turn of one engine gave; the ceiling comes with our own turns only."""

    median: float
    least: float
    ceiling: float = math.nan


@dataclass
class Cell:
    """Where and how an engine runs once: everything that a contestant needs to know."""

    folder: Path
    variant: str
    size: int
    batch: int
    threads: int
    seconds: float
    logs: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def input(self) -> Path:
        return batch_folder(self.folder, self.batch) / "input.safetensors"


class Child:
    """A peer in a process of its own. It is stopped while others run: a waiting thread pool may spin."""

    def __init__(self, engine: Engine, command: list[str], cell: Cell):
        self.log = cell.logs / f"{engine.name}.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            env=os.environ | cell.environment)
        assert self.process.stdin and self.process.stdout
        self.questions, self.answers = self.process.stdin, self.process.stdout

    @classmethod
    def python(cls, engine: Engine, python: str, cell: Cell) -> Child:
        return cls(engine, [python, str(HERE / "serve.py"), engine.name, "--folder", str(cell.folder), "--batch", str(cell.batch),
                            "--threads", str(cell.threads), "--seconds", str(cell.seconds)], cell)

    @classmethod
    def rust(cls, engine: Engine, program: Path, cell: Cell) -> Child:
        model = product("onnx", cell.folder, cell.batch)
        return cls(engine, [str(program), engine.name, str(model), str(cell.input), str(cell.threads), str(cell.seconds)], cell)

    def answer(self, seconds: float) -> dict:
        ready, _, _ = select.select([self.answers], [], [], seconds)
        if not ready:
            raise Failed(f"no answer within {seconds:.0f} s")
        line = self.answers.readline()
        if not line:
            status = self.process.wait()
            last = (self.log.read_text(errors="replace").strip().splitlines() or [""])[-1]
            raise Failed(f"ended with {status}: {last}")
        value = json.loads(line)
        if "error" in value:
            raise Failed(value["error"])
        return value

    def logits(self) -> list[list[float]]:
        logits = self.answer(START_SECONDS)["logits"]
        # The runs that warm it up come after the logits.
        self.turn()
        return logits

    def turn(self) -> Turn:
        self.process.send_signal(signal.SIGCONT)
        try:
            self.questions.write(b"go\n")
            self.questions.flush()
        except BrokenPipeError:
            # The last word explains it.
            self.answer(TURN_SECONDS)
            raise Failed("went away") from None
        value = self.answer(TURN_SECONDS)
        self.process.send_signal(signal.SIGSTOP)
        return Turn(value["median_ms"], value["min_ms"])

    def since_avx512(self) -> float | None:
        """Seconds since the kernel last saw AVX-512 state in one of its threads; infinite for never, None if it does not tell."""
        try:
            files = list(Path(f"/proc/{self.process.pid}/task").glob("*/arch_status"))
            values = [int(file.read_text().split("AVX512_elapsed_ms:")[1].split()[0]) for file in files]
        except (OSError, IndexError, ValueError):
            return None
        return min((value / 1e3 if value >= 0 else float("inf") for value in values), default=None)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.questions.close()
        self.answers.close()


class Ours:
    """This project's program; each turn is a process."""

    def __init__(self, engine: Engine, program: Program, isa: str | None, cell: Cell):
        self.cell = cell
        options = ["--model", str(cell.folder), "--threads", str(cell.threads), "--batch", str(cell.batch)]
        knows = program.has_precision("forward", engine.precision)
        chosen = ["--precision", engine.precision] if knows else []
        self.command = [str(program.path), "forward", str(cell.input), *options, *chosen]
        if isa and "--isa" in program.help["forward"]:
            self.command += ["--isa", isa]
        self.bench = [str(program.path), "bench", *options, "--precision", engine.precision, "--size", f"{cell.size}x{cell.size}",
                      "--seconds", str(cell.seconds), "--format", "json"] + (["--isa", isa] if isa else [])
        self.checked = engine.precision == "f32" or knows
        self.output = cell.folder / f"{engine.name}.safetensors"
        self.report: dict = {}

    def logits(self) -> list[list[float]] | None:
        """None where the program cannot say: `forward` of a build may lack the precision that `bench` has."""
        if not self.checked:
            return None
        spoken(self.command + ["--output", str(self.output)], self.cell.environment)
        return read_tensor(self.output, "logits")

    def turn(self) -> Turn:
        self.report = json.loads(spoken(self.bench, self.cell.environment))
        return Turn(self.report["median_ms"], self.report["min_ms"], self.report["ceiling_gflops"])

    def since_avx512(self) -> None:
        return None

    def close(self) -> None:
        self.output.unlink(missing_ok=True)


class Program:
    """Our program and what this build of it can do."""

    def __init__(self, path: Path):
        self.path = path
        self.version = spoken([str(path), "--version"]).strip()
        self.help = {command: spoken([str(path), command, "--help"]) for command in ("bench", "forward")}

    def has_precision(self, command: str, precision: str) -> bool:
        """Whether a command's help lists that precision, as clap writes it: with descriptions of the values or without."""
        _, found, after = self.help[command].partition("--precision")
        listed = after.split("\n      --", 1)[0] if found else ""
        return precision in listed.replace(":", " ").replace(",", " ").replace("]", " ").split()


def spoken(command: list[str], environment: dict[str, str] | None = None) -> str:
    """The standard output of a program that must end well."""
    result = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | (environment or {}))
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(f"ended with {result.returncode}: {last}")
    return result.stdout


def header(path: Path) -> tuple[bytes, int]:
    """The JSON header of a safetensors file and where its data begins."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return file.read(length), 8 + length


def read_tensor(path: Path, name: str) -> list[list[float]]:
    """A matrix of 32-bit floats out of a safetensors file."""
    text, start = header(path)
    entry = json.loads(text)[name]
    if entry["dtype"] != "F32":
        raise Failed(f"{name} is {entry['dtype']}")
    begin, end = entry["data_offsets"]
    values = array.array("f", path.read_bytes()[start + begin:start + end])
    rows, columns = entry["shape"]
    return [list(values[row * columns:(row + 1) * columns]) for row in range(rows)]
