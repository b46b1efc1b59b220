#!/usr/bin/env python3
"""Times the whole way of one photograph: from the bytes of its file to its five best classes, with one thread.

Needs the environment of run.py (its head tells how to make it) and

    peers/bin/pip install pillow simplejpeg opencv-python-headless

Then

    peers/bin/python benches/peers/pipeline.py --work target/peers

makes a JPEG of twelve megapixels (examples/china.jpg enlarged, with noise as film has it), and has this project's program and the
peers take turns on it with the same weights; `--page docs/benchmarks.md` also writes the table into the page that run.py made. The
peers that decode in full do what transformers' image processor does (Pillow's antialiased bilinear filter), and must find the same
classes; those that decode a fraction of the pixels stand beside `--fast-decode`.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import report
import serve
from catalogue import Engine
from contestants import START_SECONDS, Cell, Child, Failed, Turn, spoken
from prepare import SHAPES, product

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WIDTH, HEIGHT, QUALITY = 4000, 3000, 90
SIDE = 224
TOP = 5
# Of probabilities: the logits differ by about 1e-5.
TOLERANCE = 1e-4
HEADING = "## One photograph, from its file to its five best classes"

# Whether a contestant decodes a fraction of the pixels; those that do not must find our classes.
PEERS = {
    "pillow": (Engine("pillow", "Pillow + ONNX Runtime", "f32", "python", ("pillow", "onnxruntime"),
                      "`Image.open`, `resize` bilinear"), False),
    "opencv": (Engine("opencv", "OpenCV + ONNX Runtime", "f32", "python", ("opencv-python-headless", "onnxruntime"),
                      "`imdecode`, `resize` by area (other pixels than Pillow's)"), None),
    "pillow-draft": (Engine("pillow-draft", "Pillow with `draft` + ONNX Runtime", "f32", "python", ("pillow", "onnxruntime"),
                            "`draft` to 1/8, `resize` bilinear"), True),
    "simplejpeg": (Engine("simplejpeg", "simplejpeg reduced + ONNX Runtime", "f32", "python", ("simplejpeg", "onnxruntime"),
                          "`decode_jpeg` to 1/8 with `fastdct` and `fastupsample`, OpenCV's `resize` by area"), True),
    "opencv-reduced": (Engine("opencv-reduced", "OpenCV reduced + ONNX Runtime", "f32", "python",
                              ("opencv-python-headless", "onnxruntime"), "`imdecode` to 1/8, `resize` by area"), True),
}


def make_photograph(path: Path) -> None:
    import numpy
    from PIL import Image

    picture = Image.open(ROOT / "examples/china.jpg").convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    random = numpy.random.default_rng(1)
    grain = random.normal(0, 4, (HEIGHT, WIDTH, 1)) + random.normal(0, 2, (HEIGHT, WIDTH, 3))
    pixels = numpy.clip(numpy.asarray(picture) + grain, 0, 255).astype(numpy.uint8)
    Image.fromarray(pixels).save(path, quality=QUALITY, subsampling="4:2:0")


def pixels_of(name: str, data: bytes) -> Callable:
    """A function that decodes and resizes to RGB bytes."""
    import io

    import numpy

    if name.startswith("pillow"):
        from PIL import Image

        def pillow():
            image = Image.open(io.BytesIO(data))
            if name == "pillow-draft":
                image.draft("RGB", (SIDE, SIDE))
            return numpy.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        return pillow
    import cv2

    cv2.setNumThreads(1)
    if name == "simplejpeg":
        import simplejpeg

        def reduced():
            image = simplejpeg.decode_jpeg(data, fastdct=True, fastupsample=True, min_height=SIDE, min_width=SIDE)
            return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return reduced
    flag = cv2.IMREAD_REDUCED_COLOR_8 if name == "opencv-reduced" else cv2.IMREAD_COLOR
    buffer = numpy.frombuffer(data, numpy.uint8)

    def opencv():
        image = cv2.imdecode(buffer, flag | cv2.IMREAD_IGNORE_ORIENTATION)
        return cv2.cvtColor(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    return opencv


def serve_peer(name: str, folder: Path, photograph: Path, seconds: float) -> None:
    """The other side: logits first, then a turn for every line on standard input; see serve.py."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(value: dict) -> None:
        print(json.dumps(value), file=answers, flush=True)
    try:
        import numpy
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(str(product("onnx", folder, 1)), options, providers=["CPUExecutionProvider"])
        decode = pixels_of(name, photograph.read_bytes())
        mean, deviation = (numpy.array(values, numpy.float32) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        scale, offset = (1 / (255 * deviation)).astype(numpy.float32), (mean / deviation).astype(numpy.float32)

        def run():
            values = decode() * scale - offset
            images = numpy.ascontiguousarray(values.transpose(2, 0, 1)[None])
            logits = session.run(None, {"pixel_values": images})[0][0]
            numpy.argpartition(logits, -TOP)[-TOP:]
            return logits
        say({"logits": run().tolist()})
        for _ in range(serve.WARM_UP):
            run()
        for _ in sys.stdin:
            say(serve.turn(run, seconds))
    except Exception as error:  # noqa: BLE001, whatever a library raises belongs into the table
        say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


class Ours:
    """This project's program; each turn is a process."""

    def __init__(self, program: Path, cell: Cell, photograph: Path, fast: bool):
        self.command = [str(program), "bench", "--model", str(cell.folder), "--image", str(photograph), "--threads", "1",
                        "--seconds", str(cell.seconds), "--format", "json"] + (["--fast-decode"] if fast else [])
        self.reports: list[dict] = []

    def turn(self) -> Turn:
        self.reports.append(json.loads(spoken(self.command)))
        total = self.reports[-1]["stages"][-1]
        return Turn(total["median_ms"], total["min_ms"])

    def stages(self) -> str:
        """Medians over the turns of each stage but the total."""
        stages = zip(*(report["stages"][:-1] for report in self.reports))
        return ", ".join(f"{stage[0]['name'].replace('_', ' and ')} {statistics.median(one['median_ms'] for one in stage):.1f}"
                         for stage in stages)


def same_classes(ours: dict, logits: list[float]) -> None:
    largest = max(logits)
    powers = [math.exp(logit - largest) for logit in logits]
    for entry in ours["top"]:
        theirs = powers[entry["index"]] / sum(powers)
        if abs(theirs - entry["score"]) > TOLERANCE:
            raise Failed(f"class {entry['index']} has probability {theirs:.6f}, not {entry['score']:.6f}")


def prepare(folder: Path, variant: str) -> None:
    for what in ("model", "onnx"):
        if not product(what, folder, 1).is_file():
            subprocess.run([sys.executable, str(HERE / "prepare.py"), what, "--folder", str(folder), "--variant", variant,
                            "--size", str(SIDE), "--batch", "1"], check=True)


def measure(options: argparse.Namespace, folder: Path, photograph: Path, logs: Path) -> list[str]:
    cell = Cell(folder, options.variant, SIDE, 1, 1, options.seconds, logs)
    ours = {fast: Ours(options.program, cell, photograph, fast) for fast in (False, True)}
    turns: dict[str, list[Turn]] = {"ours": [], "ours-fast": []}
    failures: dict[str, str] = {}
    children: dict[str, Child] = {}
    reference = json.loads(spoken(ours[False].command))
    for name, (engine, reduced) in PEERS.items():
        command = [sys.executable, str(HERE / "pipeline.py"), "--serve", name, "--work", str(options.work), "--variant",
                   options.variant, "--seconds", str(options.seconds)]
        child = Child(engine, command, cell)
        try:
            logits = child.answer(START_SECONDS)["logits"]
            if reduced is False:
                same_classes(reference, logits)
            child.turn()
            children[name], turns[name] = child, []
        except Failed as failure:
            failures[name] = str(failure)
            child.close()
    try:
        for _ in range(options.rounds):
            turns["ours"].append(ours[False].turn())
            turns["ours-fast"].append(ours[True].turn())
            for name, child in children.items():
                turns[name].append(child.turn())
    finally:
        for child in children.values():
            child.close()
    rows = [("ours", "**SwiftFormer**", "all pixels", ours[False].stages()),
            *((name, PEERS[name][0].title, "all pixels", PEERS[name][0].settings) for name in PEERS if not PEERS[name][1]),
            ("ours-fast", "**SwiftFormer `--fast-decode`**", "1/8", ours[True].stages()),
            *((name, PEERS[name][0].title, "1/8", PEERS[name][0].settings) for name in PEERS if PEERS[name][1])]
    lines = ["| way | decoded | median, ms | least, ms | its time over ours | of it, or how |", "|---|---|---:|---:|---:|---|"]
    for name, title, decoded, how in rows:
        if name in failures:
            lines.append(f"| {title} | {decoded} | **failed**: {failures[name]} | – | – | {how} |")
            continue
        base = turns["ours" if decoded == "all pixels" else "ours-fast"]
        ratio = statistics.median(theirs.median / mine.median for theirs, mine in zip(turns[name], base))
        median = statistics.median(turn.median for turn in turns[name])
        least = min(turn.least for turn in turns[name])
        lines.append(f"| {title} | {decoded} | {median:.1f} | {least:.1f} | {ratio:.2f} | {how} |")
    return lines


def section(options: argparse.Namespace, photograph: Path, table: list[str]) -> str:
    from importlib.metadata import version

    packages = sorted({package for engine, _ in PEERS.values() for package in engine.packages})
    size = photograph.stat().st_size / 1e6
    text = [HEADING, "",
            f"`benches/peers/pipeline.py --rounds {options.rounds}` writes this section. A JPEG of {WIDTH}×{HEIGHT} pixels, quality "
            f"{QUALITY}, 4:2:0, {size:.1f} MB, in memory; SwiftFormer-{options.variant.upper()}, f32, one thread; turns as above. "
            "`--fast-decode` and its peers decode an eighth of each side, which changes the pixels a little. The peers that decode "
            "all pixels with Pillow find the same classes with the same probabilities.", "",
            ", ".join(f"{package} {version(package)}" for package in packages) + "; " + report.machine()[0].removeprefix("- ") + ".",
            "", *table, ""]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=tuple(SHAPES), default="xs")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.6, help="time of one turn")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/swiftformer")
    parser.add_argument("--work", type=Path, help="folder for the model and the photograph; a temporary one unless given")
    parser.add_argument("--page", type=Path, help="write the table into this page, too")
    parser.add_argument("--serve", choices=tuple(PEERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.work = (options.work or Path(temporary)).resolve()
        folder, photograph = options.work / f"{options.variant}-{SIDE}", options.work / "photograph.jpg"
        if options.serve:
            return serve_peer(options.serve, folder, photograph, options.seconds)
        logs = options.work / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        prepare(folder, options.variant)
        if not photograph.is_file():
            make_photograph(photograph)
        text = section(options, photograph, measure(options, folder, photograph, logs))
        print(text)
        if options.page:
            report.into_page(options.page, HEADING, text)


if __name__ == "__main__":
    main()
