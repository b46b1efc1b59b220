"""Makes the JPEGs of this folder, and checksums of what Pillow decodes them to (expected.json)."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

here = Path(__file__).parent
random = np.random.default_rng(11)
expected = {}


def picture(width, height, noise=10):
    """Smooth waves with some noise, and a black and white edge that overshoots."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 90 * np.sin(x / (5 + 3 * c)) * np.cos(y / (4 + 2 * c)) for c in range(3)]
    pixels = np.stack(planes, -1) + random.normal(0, noise, (height, width, 3))
    pixels[height // 2 :, width // 3 : width // 2] = 255
    pixels[height // 2 :, width // 2 : width // 2 + 3] = 0
    return np.clip(pixels, 0, 255).astype(np.uint8)


def keep(name, data):
    (here / name).write_bytes(data)
    expected[name] = {}
    for scale in (1, 2, 4, 8):
        image = Image.open(io.BytesIO(data))
        width, height = image.size
        if scale > 1 and min(width, height) < scale:
            continue
        if scale > 1:
            # The largest size for which `draft` takes this scale.
            image.draft("RGB", (width // scale, height // scale))
        pixels = np.asarray(image.convert("RGB"))
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        expected[name][str(scale)] = [pixels.shape[1], pixels.shape[0], digest]


def save(name, pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    keep(name, buffer.getvalue())
    return buffer.getvalue()


for width, height in ((1, 1), (2, 3), (5, 40), (17, 9), (35, 27)):
    pixels = picture(width, height)
    for sampling in ("444", "422", "420"):
        save(f"{sampling}_{width}x{height}.jpg", pixels, quality=90, subsampling=":".join(sampling))
    for sampling in ("440", "411"):
        if width > 5:
            data = simplejpeg.encode_jpeg(pixels, quality=80, colorsubsampling=sampling)
            keep(f"{sampling}_{width}x{height}.jpg", data)
# More than thirty-two units in a row.
save("420_wide.jpg", picture(530, 18, noise=4), quality=50)
save("444_wide.jpg", picture(263, 11, noise=4), quality=50, subsampling="4:4:4")
save("422_tall.jpg", picture(13, 131, noise=4), quality=60, subsampling="4:2:2")
save("420_tall.jpg", picture(19, 131, noise=4), quality=60)
pixels = picture(35, 27)
save("optimised.jpg", pixels, quality=85, optimize=True)
save("finest.jpg", picture(21, 19, noise=120), quality=100, subsampling="4:2:0")
save("coarsest.jpg", picture(45, 37, noise=60), quality=1)
save("gray.jpg", pixels[..., 0], quality=85)
save("rgb.jpg", pixels, quality=85, keep_rgb=True, subsampling="4:4:4")
restarts = save("restarts.jpg", pixels, quality=85, restart_marker_blocks=1)
save("restart_rows.jpg", pixels, quality=85, restart_marker_rows=1)

# Damage that libjpeg passes over: a restart marker lost, one repeated, one out of order, data that ends early.
first = restarts.index(b"\xff\xd1")
keep("restart_lost.jpg", restarts[:first] + restarts[first + 2 :])
keep("restart_twice.jpg", restarts[:first] + restarts[first : first + 2] + restarts[first:])
keep("restart_wrong.jpg", restarts[: first + 1] + b"\xd6" + restarts[first + 2 :])
last = restarts.index(b"\xff\xd4")
keep("restart_missing.jpg", restarts[:first] + restarts[last:])
whole = (here / "420_35x27.jpg").read_bytes()
keep("ends_early.jpg", whole[: -len(whole) // 6] + b"\xff\xd9")
keep("bytes_before_end.jpg", whole[:-2] + b"\x12\x34\x56" + whole[-2:])
# Component ids of their own without a JFIF marker mean YCbCr, unless they are R, G and B.
bare = whole[:2] + whole[whole.index(b"\xff\xdb") :]
keep("no_marker.jpg", bare)
frame = bare.index(b"\xff\xc0") + 10
scan = bare.index(b"\xff\xda") + 5
named = bytearray(bare)
for index, letter in enumerate(b"RGB"):
    named[frame + 3 * index] = named[scan + 2 * index] = letter
keep("named_rgb.jpg", bytes(named))

# Tables that make coefficients too large for 16 bits: how sums wrap and saturate shows.
for name in ("finest", "coarsest", "gray", "420_tall"):
    data = bytearray((here / f"{name}.jpg").read_bytes())
    at = data.index(b"\xff\xdb")
    while data[at : at + 2] == b"\xff\xdb":
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        for table in range(at + 4, at + 2 + length, 65):
            data[table + 1 : table + 65] = b"\xff" * 64
        at += 2 + length
    keep(f"overflow_{name}.jpg", bytes(data))

(here / "expected.json").write_text(json.dumps(expected, indent=0, separators=(",", ":")) + "\n")
