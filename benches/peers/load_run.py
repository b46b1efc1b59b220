"""Checks that transformers and timm load a run's folder and say what this program says, head by head.

    swiftformer train shapes --set depths=[] --set embed_dims=[] --set epochs=1 --output runs/sum
    swiftformer train shapes --set depths=[] --set embed_dims=[] --set epochs=1 --set dialect=l2 --output runs/l2
    python benches/peers/load_run.py target/release/swiftformer runs/sum
    python benches/peers/load_run.py target/release/swiftformer runs/l2

Runs of XS, S, L1 or L3; transformers computes the dialect `sum`, timm `l2`. Needs torch, safetensors, and the library.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

ALLOWED = 1e-5
VARIANTS = {(48, 56, 112, 220): "xs", (48, 64, 168, 224): "s", (48, 96, 192, 384): "l1", (64, 128, 320, 512): "l3"}


def heads_of_transformers(run, images):
    from transformers import SwiftFormerForImageClassification

    model = SwiftFormerForImageClassification.from_pretrained(run).eval()
    found = {}
    for name in ["head", "dist_head"]:
        getattr(model, name).register_forward_hook(lambda _, __, output, name=name: found.update({name: output}))
    return model(images).logits, found["head"], found["dist_head"]


def heads_of_timm(program, run, images, config):
    import timm

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "timm"
        subprocess.run([program, "convert", run, target, "--to", "timm", "--quiet"], check=True)
        name = "swiftformer_" + VARIANTS[tuple(config["embed_dims"])]
        model = timm.create_model(name, num_classes=len(config["id2label"]))
        model.load_state_dict(load_file(target / "model.safetensors"))
    model.eval()
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    return model(images), model.head(features), model.head_dist(features)


def heads_of_program(program, run, images):
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        save_file({"pixel_values": images}, before)
        subprocess.run([program, "forward", before, "--model", run, "--output", after, "--features"], check=True)
        outputs = load_file(after)
    weights = load_file(Path(run) / "model.safetensors")
    linear = lambda name: outputs["pre_logits"] @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return outputs["logits"], linear("head"), linear("dist_head")


def main():
    program, run = sys.argv[1:]
    config = json.loads((Path(run) / "config.json").read_text())
    torch.manual_seed(0)
    size = config["image_size"]
    images = torch.randn(4, 3, size, size)
    with torch.no_grad():
        ours = heads_of_program(program, run, images)
        if config["dialect"] == "sum":
            library, theirs = "transformers", heads_of_transformers(run, images)
        else:
            library, theirs = "timm", heads_of_timm(program, run, images, config)
    worst = 0.0
    for name, a, b in zip(["logits", "head", "dist_head"], ours, theirs, strict=True):
        difference = ((a - b).abs().max() / b.abs().max()).item()
        worst = max(worst, difference)
        print(f"{library} {name}: {difference:.1e} of the largest logit")
    sys.exit(worst > ALLOWED)


main()
