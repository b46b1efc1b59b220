"""Makes the images of this folder and what Pillow, torchvision and timm make of them (expected.safetensors)."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save_file
from timm.data import create_transform

here = Path(__file__).parent
random = np.random.default_rng(7)
expected = {}


def picture(width, height, channels=3):
    """Smooth waves with some noise: neither flat nor incompressible."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 90 * np.sin(x / (5 + 3 * c)) * np.cos(y / (4 + 2 * c)) for c in range(channels)]
    noise = random.normal(0, 12, (height, width, channels))
    return np.clip(np.stack(planes, -1) + noise, 0, 255).astype(np.uint8)


def keep(name, data):
    (here / name).write_bytes(data)
    image = Image.open(io.BytesIO(data))
    expected[f"{name}.rgb"] = np.array(image.convert("RGB"))
    expected[f"{name}.turned"] = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def save(name, image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    keep(name, buffer.getvalue())


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(name, width, height, depth, color, interlace=0, extra=b""):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    bits = depth * channels
    passes = [(0, 0, 1, 1)]
    if interlace:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x0, y0, dx, dy in passes:
        w, h = len(range(x0, width, dx)), len(range(y0, height, dy))
        if w and h:
            for _ in range(h):
                raw += b"\0" + random.integers(0, 256, (w * bits + 7) // 8, dtype=np.uint8).tobytes()
    palette = b""
    if color == 3:
        # One entry fewer than the indices reach: the rest is black.
        palette = chunk(b"PLTE", random.integers(0, 256, 3 * max(1, (1 << depth) - 1), dtype=np.uint8).tobytes())
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    data = chunk(b"IHDR", header) + palette + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    keep(name, b"\x89PNG\r\n\x1a\n" + data)


for color, depths in {0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]}.items():
    for depth in depths:
        png(f"c{color}_d{depth}.png", 13, 5, depth, color)
for color, depth in [(0, 1), (0, 16), (2, 8), (3, 2), (6, 8)]:
    png(f"c{color}_d{depth}_interlaced.png", 11, 9, depth, color, interlace=1)
exif = Image.Exif()
exif[274] = 6
png("exif_6.png", 9, 4, 8, 2, extra=chunk(b"eXIf", exif.tobytes()[6:]))
xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
png("xmp_8.png", 9, 4, 8, 2, extra=chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))

rgb = Image.fromarray(picture(37, 23))
alpha = random.integers(0, 256, (23, 37), dtype=np.uint8)
rgba = Image.fromarray(np.dstack([np.array(rgb), alpha]), "RGBA")
gray = rgb.convert("L")

save("lossy.webp", rgb, format="WEBP", quality=60)
save("lossy_alpha.webp", rgba, format="WEBP", quality=60)
save("lossless_alpha.webp", rgba, format="WEBP", lossless=True, exact=True)
save("lossy_exif_3.webp", rgb, format="WEBP", quality=80, exif=bytes(b"Exif\0\0") + struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 274, 3, 1, 3) + bytes(4))
small = Image.fromarray(picture(20, 12))
save("animated.webp", small, format="WEBP", lossless=True, save_all=True, append_images=[ImageOps.invert(small)], duration=50)
save("animated_lossy.webp", small, format="WEBP", quality=70, save_all=True, append_images=[ImageOps.invert(small)], duration=50)

paletted = rgb.quantize(16)
save("palette.gif", paletted, format="GIF")
save("interlaced.gif", paletted, format="GIF", interlace=1)
save("gray.gif", gray, format="GIF")
save("transparent.gif", paletted, format="GIF", transparency=3)


def gif_frame(name, transparent, local):
    """A 3x2 frame at (2, 1) of a 7x5 screen."""
    table = random.integers(0, 256, 12, dtype=np.uint8).tobytes()
    other = random.integers(0, 256, 12, dtype=np.uint8).tobytes()
    data = b"GIF89a" + struct.pack("<HHBBB", 7, 5, 0x81, 1, 0) + table
    data += b"!\xf9\x04" + bytes([1 if transparent is not None else 0, 0, 0, transparent or 0]) + b"\0"
    data += b"," + struct.pack("<HHHHB", 2, 1, 3, 2, 0x81 if local else 0) + (other if local else b"")
    # Codes of 3 bits: clear, six literals with a clear after each second one (so that codes stay 3 bits), end.
    codes = [4, 1, 2, 4, 3, 0, 4, 2, 1, 5]
    value = sum(code << (3 * index) for index, code in enumerate(codes))
    packed = value.to_bytes((3 * len(codes) + 7) // 8, "little")
    keep(name, data + b"\x02" + bytes([len(packed)]) + packed + b"\0;")


gif_frame("offset.gif", None, False)
gif_frame("offset_transparent.gif", 2, False)
gif_frame("offset_local.gif", None, True)

save("rgb.bmp", rgb, format="BMP")
save("palette.bmp", paletted, format="BMP")
save("gray.bmp", gray, format="BMP")
save("bilevel.bmp", gray.convert("1"), format="BMP")
save("rgba.bmp", rgba, format="BMP")


def bmp(name, width, height, bits, pixels, compression=0, masks=b"", palette=b"", size=40):
    offset = 14 + size + len(masks) * (size == 40) + len(palette)
    if size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIIIII", size, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0)
        header += masks + bytes(max(0, size - 40 - len(masks)) if size > 40 else 0)
    keep(name, b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + header + palette + pixels)


def noise(count):
    return random.integers(0, 256, count, dtype=np.uint8).tobytes()


bmp("top_down.bmp", 5, -3, 24, noise(16 * 3))
bmp("b16.bmp", 5, 3, 16, noise(12 * 3))
bmp("b16_565.bmp", 5, 3, 16, noise(12 * 3), 3, struct.pack("<III", 0xF800, 0x7E0, 0x1F))
bmp("b32.bmp", 5, 3, 32, noise(20 * 3))
bmp("b32_v4_rgba.bmp", 5, 3, 32, noise(20 * 3), 3, struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000), size=108)
bmp("b4.bmp", 5, 3, 4, noise(4 * 3), palette=noise(64))
bmp("os2.bmp", 5, 3, 8, bytes(random.integers(0, 256, 8 * 3, dtype=np.uint8)), palette=noise(256 * 3), size=12)
runs8 = bytes([3, 9, 2, 1, 0, 0, 0, 4, 5, 6, 7, 8, 0, 2, 1, 0, 0, 0, 1, 7, 4, 3, 0, 1])
bmp("rle8.bmp", 5, 3, 8, runs8, 1, palette=noise(1024))
runs4 = bytes([5, 0x3A, 0, 0, 0, 5, 0x12, 0x34, 0x50, 0, 0, 0, 5, 0xF0, 0, 1])
bmp("rle4.bmp", 5, 3, 4, runs4, 2, palette=noise(64))

for name, compression in {"raw": None, "lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate", "packbits": "packbits"}.items():
    save(f"rgb_{name}.tiff", rgb, format="TIFF", compression=compression)
save("gray.tiff", gray, format="TIFF")
save("bilevel.tiff", gray.convert("1"), format="TIFF")
save("palette.tiff", paletted, format="TIFF")
save("rgba.tiff", rgba, format="TIFF", compression="tiff_lzw")
save("cmyk.tiff", rgb.convert("CMYK"), format="TIFF")
save("gray16.tiff", Image.fromarray(random.integers(0, 700, (6, 9)).astype(np.uint16)), format="TIFF")
save("float.tiff", Image.fromarray(random.normal(128, 120, (6, 9)).astype(np.float32)), format="TIFF")
save("exif_5.tiff", rgb, format="TIFF", exif=(lambda e: (e.__setitem__(274, 5), e)[1])(Image.Exif()))
save("jpeg_444.tiff", rgb, format="TIFF", compression="jpeg", quality=85)
save("two_pages.tiff", rgb, format="TIFF", save_all=True, append_images=[small])

save("rgb_stored.jpg", rgb, format="JPEG", quality=85, keep_rgb=True)
save("cmyk_progressive.jpg", rgb.convert("CMYK"), format="JPEG", quality=85, progressive=True)
save("restarts.jpg", rgb, format="JPEG", quality=85, restart_marker_blocks=2)
save("gray_progressive.jpg", gray, format="JPEG", quality=70, progressive=True)


def ycck():
    """A CMYK JPEG whose Adobe marker says YCCK: the same bytes read as other colours."""
    buffer = io.BytesIO()
    rgb.convert("CMYK").save(buffer, format="JPEG", quality=90)
    data = bytearray(buffer.getvalue())
    at = data.index(b"Adobe")
    data[at + 11] = 2
    return bytes(data)


keep("ycck.jpg", ycck())

# Resizing: odd sizes, every filter.
filters = [Image.Resampling(number) for number in range(6)]
for source in [(37, 23), (1, 1), (2, 3), (301, 5), (64, 64)]:
    image = Image.fromarray(picture(*source))
    expected[f"resize.{source[0]}x{source[1]}"] = np.array(image)
    for target in [(37, 23), (19, 23), (37, 50), (7, 91), (1, 1), (100, 33), (128, 128), (3, 2)]:
        for filter in filters:
            resized = image.resize(target, filter)
            expected[f"resize.{source[0]}x{source[1]}.{target[0]}x{target[1]}.{int(filter)}"] = np.array(resized)

# Preprocessing by timm, several sizes, crop modes and shapes of images.
for number, (size, pct, mode, filter) in enumerate([
    ((32, 32), 0.95, "center", "bicubic"),
    ((32, 32), 1.0, "border", "bilinear"),
    ((32, 32), 0.9, "squash", "lanczos"),
    ((32, 32), 1.3, "center", "bicubic"),
    ((24, 40), 0.875, "center", "bicubic"),
    ((33, 47), 0.8, "border", "box"),
    ((30, 30), 0.77, "center", "hamming"),
]):
    cfg = dict(input_size=(3, *size), crop_pct=pct, crop_mode=mode, interpolation=filter)
    cfg |= dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    transform = create_transform(**cfg, is_training=False)
    bytes_only = transform.transforms[:-2]
    for source in [(37, 23), (23, 61), (90, 12), (32, 32)]:
        image = Image.fromarray(picture(*source))
        out = image
        for step in bytes_only:
            out = step(out)
        name = f"timm.{number}.{source[0]}x{source[1]}"
        expected[f"{name}.input"] = np.array(image)
        expected[f"{name}.u8"] = np.array(out)
        if source == (37, 23):
            expected[f"{name}.pixel_values"] = transform(image).numpy()

# Preprocessing by transformers' PIL backend.
from transformers import CLIPImageProcessorPil, ViTImageProcessorPil  # noqa: E402

for number, processor in enumerate([
    ViTImageProcessorPil(size={"height": 20, "width": 31}, resample=3),
    CLIPImageProcessorPil(size={"shortest_edge": 21}, crop_size={"height": 16, "width": 18}),
    CLIPImageProcessorPil(size={"shortest_edge": 13}, crop_size={"height": 16, "width": 18}, resample=2),
]):
    for source in [(37, 23), (23, 61), (12, 90)]:
        image = Image.fromarray(picture(*source))
        name = f"hf.{number}.{source[0]}x{source[1]}"
        expected[f"{name}.input"] = np.array(image)
        values = processor(image, return_tensors="np")["pixel_values"][0]
        expected[f"{name}.pixel_values"] = np.ascontiguousarray(values, dtype=np.float32)

# Luma.
expected["luma.input"] = picture(31, 17)
expected["luma.L"] = np.array(Image.fromarray(expected["luma.input"]).convert("L"))

save_file({name: np.ascontiguousarray(array) for name, array in expected.items()}, here / "expected.safetensors")
