// Chromium, and pages that are watched: what they write to the console, what they ask of other hosts.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];
/** Milliseconds that anything may take on a busy machine. */
const PATIENCE = 30_000;

/** Starts Chromium, with a file as its camera where one is given. */
export function launch(executablePath, video) {
  const camera = video ? [...CAMERA, `--use-file-for-fake-video-capture=${video}`] : [];
  return chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...camera] });
}

/** A fresh page at `origin`. `page.complaints` is what went wrong; `page.foreign` what was asked of other hosts. */
export async function open(browser, origin, options = {}, path = "/") {
  const context = await browser.newContext({ reducedMotion: "reduce", viewport: { width: 1100, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  Object.assign(page, { complaints: [], foreign: [] });
  page.on("console", (message) => {
    // Chromium writes a line for each refusal; the page shows those in words.
    const refusal = message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !refusal) page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`) && !/^(blob|data):/.test(request.url())) page.foreign.push(request.url());
  });
  await context.route((url) => url.origin !== origin, (route) => route.abort());
  await page.goto(origin + path);
  return page;
}

/** Serious and critical findings of axe, a line each. */
export async function findings(page) {
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`);
}

/** Drags files or folders of this machine onto the middle of the page. */
export async function drop(page, ...files) {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) await session.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
  await session.detach();
}

/** Puts a PNG on the clipboard and presses the keys that paste it. */
export async function paste(page, png) {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]);
  }, png.toString("base64"));
  await page.keyboard.press("Control+V");
}
