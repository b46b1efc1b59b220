"""Makes the model, its input and what each engine wants to read; every file once for a work folder.

Runs as a program of its own, `prepare.py WHAT --folder FOLDER --variant V --size N --batch N`, in the environment of the engine
that needs the file:

    FOLDER/config.json, model.safetensors       the model (WHAT = model)
    FOLDER/batchN/input.safetensors             images, and PyTorch's logits in expected.json (model)
    FOLDER/batchN/model.onnx                    WHAT = onnx
    FOLDER/batchN/model.tflite                  WHAT = litert
    FOLDER/batch1/model.ncnn.{param,bin}        WHAT = ncnn
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SHAPES = {
    "xs": ([3, 3, 6, 4], [48, 56, 112, 220]),
    "s": ([3, 3, 9, 6], [48, 64, 168, 224]),
    "l1": ([4, 3, 10, 5], [48, 96, 192, 384]),
    "l3": ([4, 4, 12, 6], [64, 128, 320, 512]),
}


def batch_folder(folder: Path, batch: int) -> Path:
    return folder / f"batch{batch}"


def product(what: str, folder: Path, batch: int) -> Path:
    """The file that is there when WHAT is done; the last that it writes."""
    names = {"model": "expected.json", "onnx": "model.onnx", "litert": "model.tflite", "ncnn": "model.ncnn.bin"}
    return batch_folder(folder, 1 if what == "ncnn" else batch) / names[what]


def into_place(written: Path, wanted: Path) -> None:
    """Moves a finished file: an interrupted conversion must not pass for a whole one."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    os.replace(written, wanted)


def make_weights(variant: str, folder: Path, size: int, **more) -> None:
    """A transformers model with random weights whose activations stay near one; `more` goes into its config."""
    import torch
    from transformers import SwiftFormerConfig, SwiftFormerForImageClassification

    depths, dims = SHAPES[variant]
    torch.manual_seed(0)
    defaults = {"num_labels": 1000, "layer_scale_init_value": 0.3}
    config = SwiftFormerConfig(depths=depths, embed_dims=dims, **defaults | more)
    model = SwiftFormerForImageClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and parameter.shape[0] > 1 and parameter[0].numel() > 1:
                parameter.normal_(0, 1.2 / parameter[0].numel() ** 0.5)
        model.train()
        for _ in range(8):
            model(torch.randn(4, config.num_channels, size, size))
    with tempfile.TemporaryDirectory(dir=folder) as made:
        model.eval().save_pretrained(made)
        for name in ("config.json", "model.safetensors"):
            into_place(Path(made) / name, folder / name)


def logits_module(folder: Path):
    """The model as a function from images to logits alone."""
    import torch
    from transformers import SwiftFormerForImageClassification

    class Logits(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, pixel_values):
            return self.model(pixel_values).logits

    return Logits(SwiftFormerForImageClassification.from_pretrained(folder)).eval()


def read_images(folder: Path, batch: int):
    from safetensors.torch import load_file

    return load_file(str(batch_folder(folder, batch) / "input.safetensors"))["pixel_values"]


def make_model(folder: Path, variant: str, size: int, batch: int) -> None:
    import torch
    from safetensors.torch import save_file

    if not (folder / "model.safetensors").is_file():
        make_weights(variant, folder, size)
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))
    inside = batch_folder(folder, batch)
    inside.mkdir(exist_ok=True)
    save_file({"pixel_values": images}, str(inside / "input.safetensors"))
    with torch.inference_mode():
        logits = logits_module(folder)(images)
    written = inside / "expected.part"
    written.write_text(json.dumps({"logits": logits.tolist(), "deviation": logits.std().item()}))
    into_place(written, product("model", folder, batch))


def make_onnx(folder: Path, batch: int) -> None:
    import torch

    written = batch_folder(folder, batch) / "onnx.part"
    torch.onnx.export(logits_module(folder), (read_images(folder, batch),), str(written), input_names=["pixel_values"],
                      output_names=["logits"], opset_version=17, dynamo=False)
    into_place(written, product("onnx", folder, batch))


def make_litert(folder: Path, batch: int) -> None:
    import litert_torch

    # Channels last is what XNNPACK computes in: with the other order the file would begin with a transposition.
    model = litert_torch.to_channel_last_io(logits_module(folder), args=[0])
    images = read_images(folder, batch).permute(0, 2, 3, 1).contiguous()
    written = batch_folder(folder, batch) / "part.tflite"
    litert_torch.convert(model, (images,)).export(str(written))
    into_place(written, product("litert", folder, batch))


def make_ncnn(folder: Path) -> None:
    import torch

    def normalize(tensor, p=2.0, dim=1, eps=1e-12, out=None):
        # pnnx turns torch's own into a layer that normalises over another axis; these operations it converts one by one.
        return tensor / torch.sqrt((tensor * tensor).sum(dim, keepdim=True) + eps * eps)

    torch.nn.functional.normalize = normalize
    images = read_images(folder, 1)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        traced = Path(made) / "model.pt"
        torch.jit.trace(logits_module(folder), images).save(str(traced))
        shape = ",".join(map(str, images.shape))
        command = [Path(sys.executable).parent / "pnnx", traced, f"inputshape=[{shape}]f32", "fp16=0"]
        subprocess.run(command, check=True, cwd=made, stdout=sys.stderr)
        for name in ("model.ncnn.param", "model.ncnn.bin"):
            into_place(Path(made) / name, batch_folder(folder, 1) / name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("model", "onnx", "litert", "ncnn"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--variant", choices=tuple(SHAPES), required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    options = parser.parse_args()
    folder, batch = options.folder, options.batch
    folder.mkdir(parents=True, exist_ok=True)
    if options.what == "model":
        make_model(folder, options.variant, options.size, batch)
    elif options.what == "onnx":
        make_onnx(folder, batch)
    elif options.what == "litert":
        make_litert(folder, batch)
    else:
        make_ncnn(folder)


if __name__ == "__main__":
    main()
