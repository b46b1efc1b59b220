// The README's pictures of the page, as PNGs with a palette.

import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import UPNG from "upng-js";

/** Colours of the palette. */
const COLORS = 128;
/** The drawn class that is shown, and pixels below the last card. */
const CLASS = "flower";
const MARGIN = 20;

/** Takes them, and gives `[name, bytes]` of each. */
export async function takeScreenshots(visit, { drawn, folder, answered }) {
  await mkdir(folder, { recursive: true });
  const classes = join(drawn, "train");
  const names = await readdir(classes);
  const chosen = join(classes, names.find((name) => name.includes(CLASS)) ?? names[0]);
  const [picture] = await readdir(chosen);
  const page = await visit({ colorScheme: "light", viewport: { width: 960, height: 900 } });
  await page.uncheck("input[value=tiny]");
  await page.setInputFiles("#picture-file", join(chosen, picture));
  await answered(page, 1);
  await page.mouse.move(0, 0);
  return [await save(page, "#cards", join(folder, "page.png"))];
}

async function save(page, last, file) {
  const { bottom } = await page.locator(last).evaluate((element) => element.getBoundingClientRect().toJSON());
  const { width } = page.viewportSize();
  const full = await page.screenshot({ fullPage: true, clip: { x: 0, y: 0, width, height: Math.ceil(bottom) + MARGIN } });
  const image = UPNG.decode(full.buffer.slice(full.byteOffset, full.byteOffset + full.byteLength));
  const small = Buffer.from(UPNG.encode(UPNG.toRGBA8(image), image.width, image.height, COLORS));
  await writeFile(file, small);
  return [file, small.length];
}
