#!/usr/bin/env python3
"""Packs a safetensors file of images for testdata/: differences to the left and upper neighbour, then zlib.

    python reference/pack_golden.py IN.safetensors OUT.safetensors.packed

The result is the safetensors header as it is (length and JSON), then one zlib stream of all data in the header's order.
uint8 tensors [height, width, 3] hold, modulo 256, the difference to the pixel on the left of the difference to the row
above. The tests undo it.
"""
import json
import sys
import zlib

import numpy as np


def pack(data: bytes) -> bytes:
    size = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:size])
    parts = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        part = data[size + begin : size + end]
        shape = entry["shape"]
        if entry["dtype"] == "U8" and len(shape) == 3 and shape[2] == 3:
            image = np.frombuffer(part, np.uint8).reshape(shape).astype(np.int16)
            image = np.diff(np.diff(image, axis=1, prepend=0), axis=0, prepend=0)
            part = (image & 255).astype(np.uint8).tobytes()
        parts.append((begin, part))
    return data[:size] + zlib.compress(b"".join(part for _, part in sorted(parts)), 9)


if __name__ == "__main__":
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        packed = pack(file.read())
    with open(target, "wb") as file:
        file.write(packed)
