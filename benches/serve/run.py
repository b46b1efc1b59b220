"""Measures `swiftformer serve` under load; see README.md. Prints lines of text, and all figures as JSON at the end."""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

PORT = 18431
ADDRESS = f"127.0.0.1:{PORT}"
QUEUE = 64
# Clients for each thread of the server that fill it.
CLIENTS = 12
RESULTS: dict[str, object] = {}


def say(name: str, value: object, text: str) -> None:
    RESULTS[name] = value
    print(f"{name}: {text}", flush=True)


class Bench:
    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.model = options.model.resolve()
        self.picture, self.tensor = folder / "640x480.jpg", folder / "in.safetensors"
        from PIL import Image

        source = Image.open(options.picture).convert("RGB")
        source.resize((640, 480), Image.Resampling.LANCZOS).save(self.picture, quality=90)
        self.program("preprocess", str(self.picture), "--model", str(self.model), "--output", str(self.tensor))

    def program(self, *arguments: str) -> str:
        command = [str(self.options.program), *arguments]
        return subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.PIPE, text=True).stdout

    def engine(self, batch: int) -> float:
        """Milliseconds of a batch of the engine alone."""
        text = self.program("bench", "--model", str(self.model), "--threads", str(self.options.threads), "--batch", str(batch),
                            "--precision", self.options.precision, "--seconds", str(self.options.reference), "--format", "json")
        return json.loads(text)["median_ms"]

    def decoding(self) -> float:
        """Milliseconds of one thread from a file to pixel values."""
        text = self.program("bench", "--model", str(self.model), "--threads", "1", "--image", str(self.picture),
                            "--seconds", str(self.options.reference), "--format", "json")
        stages = {stage["name"]: stage["median_ms"] for stage in json.loads(text)["stages"]}
        return stages["decode_resize"] + stages["normalise"]

    def load(self, kind: str, threads: int, seconds: float, rate: float | None = None, *words: str) -> dict:
        target, body, content = {
            "forward": ("/v1/forward", self.tensor, "application/octet-stream"),
            "jpeg": ("/v1/classify", self.picture, "image/jpeg"),
        }[kind]
        command = [str(self.options.load), ADDRESS, target, str(body), content, str(threads), str(seconds)]
        command += [str(rate)] if rate else []
        command += words
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    @contextlib.contextmanager
    def serving(self):
        server = self.start()
        try:
            wait_ready()
            self.load("jpeg", 4, 0.5)
            yield server
        finally:
            server.terminate()
            server.wait(30)

    def start(self) -> subprocess.Popen:
        command = [str(self.options.program), "serve", "--model", f"m={self.model}", "--listen", ADDRESS,
                   "--threads", str(self.options.threads), "--precision", self.options.precision, "--queue", str(QUEUE), "--quiet"]
        return subprocess.Popen(command, cwd=self.folder)


def wait_ready() -> float:
    began = time.monotonic()
    while time.monotonic() < began + 60:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"http://{ADDRESS}/readyz", timeout=1).read()
            return time.monotonic() - began
        time.sleep(0.005)
    raise SystemExit("the server is not ready within a minute")


def resident(process: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def saturation(bench: Bench) -> None:
    threads, seconds = bench.options.threads, bench.options.seconds
    before = bench.engine(8), bench.decoding()
    with bench.serving():
        rates = {kind: bench.load(kind, CLIENTS * threads, seconds)["per_second"] for kind in ("forward", "jpeg")}
    after = bench.engine(8), bench.decoding()
    batch, decoding = ((a + b) / 2 for a, b in zip(before, after))
    engine = 8e3 / batch
    # All threads decode, resize and run images, and never wait.
    offline = threads * 1e3 / (decoding + threads * batch / 8)
    for kind, reference in (("forward", engine), ("jpeg", offline)):
        share = rates[kind] / reference
        text = f"{rates[kind]:.0f}/s of {reference:.0f}/s offline: {share:.1%}"
        say(f"saturation {kind}", {"per_second": rates[kind], "offline": reference, "share": share}, text)


def half(bench: Bench) -> None:
    with bench.serving():
        full = bench.load("jpeg", CLIENTS * bench.options.threads, 3)["per_second"]
        for arrivals, words in (("random", ()), ("steady", ("steady",))):
            seen = bench.load("jpeg", 64, bench.options.seconds, full / 2, *words)
            p50, p99 = seen["ms"]["p50"], seen["ms"]["p99"]
            say(f"half load, {arrivals}", seen, f"{full / 2:.0f}/s, p50 {p50} ms, p99 {p99} ms: {p99 / p50:.2f}")
        low = bench.load("forward", 4, bench.options.seconds, 10)
    engine = bench.engine(1)
    say("low load forward", low, f"p50 {low['ms']['p50']} ms, the engine alone {engine:.2f} ms")


def overload(bench: Bench) -> None:
    with bench.serving() as server:
        alone = bench.load("jpeg", 1, 2)["ms"]["p50"]
        full = bench.load("jpeg", CLIENTS * bench.options.threads, 3)["per_second"]
        memory: list[float] = []
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.5):
                memory.append(resident(server.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        seen = bench.load("jpeg", 512, bench.options.overload, 10 * full)
        done.set()
        watcher.join()
        time.sleep(1)
        after = bench.load("jpeg", 64, 5, full / 2)
    start, end = memory[len(memory) // 6], max(memory[len(memory) // 6:])
    say("overload", seen, f"{10 * full:.0f}/s asked, statuses {seen['statuses']}, accepted {seen['per_second']:.0f}/s p99 "
        f"{seen['ms']['p99']} ms, queue × service time {QUEUE * alone:.0f} ms by a request alone ({alone} ms), "
        f"{QUEUE * 1e3 / full:.0f} ms by the rate of a full server ({full:.0f}/s)")
    say("overload memory", memory, f"{start:.0f} MiB after the first seconds, at most {end:.0f} MiB later: {end / start - 1:+.1%}")
    say("after overload", after, f"statuses {after['statuses']}, p50 {after['ms']['p50']} ms, p99 {after['ms']['p99']} ms")


def kill(bench: Bench) -> None:
    server = bench.start()
    wait_ready()
    result: dict = {}
    client = threading.Thread(target=lambda: result.update(bench.load("jpeg", 32, 6, 50, "retry")))
    client.start()
    time.sleep(2)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    server = bench.start()
    ready = wait_ready()
    client.join()
    server.terminate()
    server.wait()
    say("kill -9", result, f"ready again in {ready:.3f} s, statuses {result['statuses']}, lost {result['lost']}")


def peer(bench: Bench) -> None:
    seconds, threads = bench.options.seconds, bench.options.threads
    best: dict = {}
    onnx = bench.model / "batch1" / "model.onnx"
    for workers in {1, threads}:
        environment = {**os.environ, "MODEL": str(onnx), "THREADS": str(max(threads // workers, 1))}
        command = [str(bench.options.peer_python), "-m", "uvicorn", "peer:app", "--port", str(PORT), "--workers", str(workers),
                   "--log-level", "warning", "--no-access-log"]
        server = subprocess.Popen(command, cwd=Path(__file__).parent, env=environment)
        try:
            wait_ready()
            time.sleep(2)
            bench.load("jpeg", 4, 1)
            full = bench.load("jpeg", CLIENTS * threads, seconds)
            calm = bench.load("jpeg", 64, seconds, full["per_second"] / 2)
        finally:
            server.terminate()
            server.wait(30)
        text = f"{full['per_second']:.0f}/s, half load p50 {calm['ms']['p50']} ms p99 {calm['ms']['p99']} ms"
        say(f"FastAPI, {workers} workers", {"full": full, "half": calm}, text)
        if full["per_second"] > best.get("full", {}).get("per_second", 0):
            best = {"full": full, "half": calm}
    with bench.serving():
        ours = bench.load("jpeg", CLIENTS * threads, seconds)
        same = bench.load("jpeg", 64, seconds, best["full"]["per_second"] / 2)
    faster = ours["per_second"] / best["full"]["per_second"]
    say("against FastAPI", {"ours": ours, "same rate": same}, f"{ours['per_second']:.0f}/s: {faster:.2f} times the throughput; full "
        f"load p99 {ours['ms']['p99']} against {best['full']['ms']['p99']} ms; at half of the peer's rate p99 "
        f"{same['ms']['p99']} against {best['half']['ms']['p99']} ms")


PHASES = {"saturation": saturation, "half": half, "overload": overload, "kill": kill, "peer": peer}


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phases", nargs="+", choices=tuple(PHASES))
    parser.add_argument("--model", type=Path, required=True, help="folder with config.json, model.safetensors, batch1/model.onnx")
    parser.add_argument("--program", type=Path, default=root / "target/release/swiftformer")
    parser.add_argument("--load", type=Path, default=root / "target/release/examples/load")
    parser.add_argument("--picture", type=Path, default=root / "examples/china.jpg")
    parser.add_argument("--peer-python", type=Path, default=sys.executable)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="of this project's engine; the peer's is f32")
    parser.add_argument("--seconds", type=float, default=8, help="of each measurement")
    parser.add_argument("--reference", type=float, default=2, help="seconds of each measurement of the engine alone")
    parser.add_argument("--overload", type=float, default=60, help="seconds of overload")
    options = parser.parse_args()
    options.program, options.load = options.program.resolve(), options.load.resolve()
    folder = Path(tempfile.mkdtemp(prefix="swiftformer-serve-"))
    try:
        bench = Bench(options, folder)
        for phase in options.phases:
            PHASES[phase](bench)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(RESULTS))


if __name__ == "__main__":
    main()
