// A video for Chromium's fake camera, made of a photograph that moves from left to right.

import { readFile, writeFile } from "node:fs/promises";

const WIDTH = 320;
const HEIGHT = 240;
const FRAMES = 12;

/** Writes `video` (y4m, 4:2:0) of `photograph`, which Chromium decodes. */
export async function makeVideo(chromium, photograph, video) {
  const page = await chromium.newPage();
  const source = `data:image/jpeg;base64,${await readFile(photograph, "base64")}`;
  const frames = await page.evaluate(async ({ source, width, height, count }) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
    const scaled = image.width * height / image.height;
    return Array.from({ length: count }, (_, frame) => {
      context.drawImage(image, (width - scaled) * frame / (count - 1), 0, scaled, height);
      return btoa([...context.getImageData(0, 0, width, height).data].map((byte) => String.fromCharCode(byte)).join(""));
    });
  }, { source, width: WIDTH, height: HEIGHT, count: FRAMES });
  await page.close();
  const pieces = [Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F15:1 Ip A1:1 C420jpeg\n`)];
  for (const frame of frames) pieces.push(Buffer.from("FRAME\n"), planes(Buffer.from(frame, "base64")));
  await writeFile(video, Buffer.concat(pieces));
}

/** RGBA as Y, Cb and Cr (BT.601), the last two of every other pixel in each direction. */
function planes(pixels) {
  const y = [], cb = [], cr = [];
  for (let row = 0; row < HEIGHT; row++) {
    for (let column = 0; column < WIDTH; column++) {
      const [red, green, blue] = pixels.subarray(4 * (row * WIDTH + column));
      y.push(16 + 0.257 * red + 0.504 * green + 0.098 * blue);
      if (row % 2 || column % 2) continue;
      cb.push(128 - 0.148 * red - 0.291 * green + 0.439 * blue);
      cr.push(128 + 0.439 * red - 0.368 * green - 0.071 * blue);
    }
  }
  return Buffer.from([...y, ...cb, ...cr].map(Math.round));
}
