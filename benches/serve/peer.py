"""The server that a Python team would write: FastAPI, Pillow, ONNX Runtime; `uvicorn peer:app`, the model in $MODEL."""
from __future__ import annotations

import io
import os

import numpy
import onnxruntime
from fastapi import FastAPI, HTTPException, Request
from PIL import Image, UnidentifiedImageError
from starlette.concurrency import run_in_threadpool

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("THREADS", "0"))
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
MEAN = numpy.array([0.485, 0.456, 0.406], numpy.float32)
STD = numpy.array([0.229, 0.224, 0.225], numpy.float32)
app = FastAPI()


def predict(data: bytes) -> list[dict]:
    try:
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, OSError) as error:
        raise HTTPException(422, "not an image") from error
    pixels = (numpy.asarray(image, numpy.float32) / 255 - MEAN) / STD
    logits = session.run(None, {"pixel_values": pixels.transpose(2, 0, 1)[None]})[0][0]
    scores = numpy.exp(logits - logits.max())
    scores /= scores.sum()
    best = scores.argsort()[::-1][:5]
    return [{"index": int(index), "score": float(scores[index])} for index in best]


@app.post("/v1/classify")
async def classify(request: Request) -> dict:
    data = await request.body()
    return {"top": await run_in_threadpool(predict, data)}


@app.get("/readyz")
async def ready() -> dict:
    return {"status": "ready"}
