// The page of `swiftformer serve`, in Chromium, against the real server.
//
//   node test.mjs PROGRAM [--chromium PATH] [--screenshots FOLDER]

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parseArgs } from "node:util";
import { drop, findings, launch, open, paste } from "./browser.mjs";
import { makeVideo } from "./camera.mjs";
import { takeScreenshots } from "./screenshots.mjs";
import { run, serve } from "./server.mjs";

const { values: { chromium, screenshots }, positionals: [program] } = parseArgs({
  allowPositionals: true,
  options: { chromium: { type: "string", default: "/usr/bin/chromium" }, screenshots: { type: "string" } },
});
const repository = new URL("../../../../", import.meta.url).pathname;
const china = join(repository, "examples/china.jpg");
const wide = join(repository, "testdata/images/wide.png");
const two = ["--model", "demo", "--model", `tiny=${join(repository, "testdata/hf_tiny")}`];
const KEY = "a key of the tests";
/** Drawn pictures. */
const COUNT = 24;

const scratch = await mkdtemp(join(tmpdir(), "swiftformer-page-"));
const drawn = join(scratch, "drawn");
const text = join(scratch, "text.png");
let server, browser, pages = [];

before(async () => {
  run(program, ["synth", drawn, "--images", String(COUNT), "--size", "384"]);
  await writeFile(text, "This is no picture.");
  const maker = await launch(chromium);
  await makeVideo(maker, china, join(scratch, "camera.y4m"));
  await maker.close();
  browser = await launch(chromium, join(scratch, "camera.y4m"));
  server = await serve(program, two);
});

after(async () => {
  await browser?.close();
  await server?.stop();
  await rm(scratch, { recursive: true });
});

/** A test with pages of its own: none may write errors to the console or ask anything of other hosts. */
function check(name, body) {
  test(name, async () => {
    pages = [];
    await body();
    for (const page of pages) {
      assert.deepEqual(page.complaints, [], "the console");
      assert.deepEqual(page.foreign, [], "requests to other hosts");
      await page.context().close();
    }
  });
}

async function visit(options, { origin = server.origin, path = "/" } = {}) {
  const page = await open(browser, origin, options, path);
  pages.push(page);
  if (path === "/" && origin === server.origin) await page.waitForSelector("#facts span");
  return page;
}

/** Waits until each of `count` cards has an answer. */
async function answered(page, count = 2) {
  await page.waitForFunction((count) => document.querySelectorAll(".card .times-bar").length === count, count);
}

/** What the server says, asked without the page. */
async function ask(file, parameters) {
  const response = await fetch(`${server.origin}/v1/classify?${new URLSearchParams(parameters)}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: await readFile(file),
  });
  return response.json();
}

/** Labels and scores that a card shows. */
function shown(page, card = 0) {
  return page.locator(".card").nth(card).locator(".classes button").evaluateAll((buttons) =>
    buttons.map((button) => [".label", ".score"].map((part) => button.querySelector(part).textContent)));
}

function expected({ top }) {
  return top.map(({ label, score }) => [label, `${(100 * score).toFixed(1)} %`]);
}

async function noFindings(page, state) {
  assert.deepEqual(await findings(page), [], state);
}

check("a chosen picture is answered by both models side by side, as the server says", async () => {
  const page = await visit();
  await page.setInputFiles("#picture-file", china);
  await answered(page);
  assert.deepEqual(await page.locator(".card h2").allTextContents(), ["demo", "tiny"]);
  for (const [place, model] of ["demo", "tiny"].entries()) {
    assert.deepEqual(await shown(page, place), expected(await ask(china, { model })));
  }
  const boxes = await page.locator(".card").evaluateAll((cards) => cards.map((card) => card.getBoundingClientRect().toJSON()));
  assert.ok(boxes[0].top === boxes[1].top && boxes[0].right <= boxes[1].left, "side by side");
  assert.match(await page.textContent("#status"), /^demo: .+ %; tiny: .+ %\.$/);
});

check("bars are as long as their scores, and every part of the time is named", async () => {
  const page = await visit();
  await page.uncheck("input[value=tiny]");
  await page.setInputFiles("#picture-file", china);
  await answered(page, 1);
  const { top } = await ask(china, { model: "demo" });
  const lengths = await page.locator(".bar").evaluateAll((bars) => bars.map((bar) => bar.firstChild.offsetWidth / bar.offsetWidth));
  top.forEach(({ score }, rank) => assert.ok(Math.abs(lengths[rank] - score) < 0.01, `${lengths[rank]} for ${score}`));
  const times = await page.locator(".times dl div").allTextContents();
  assert.deepEqual(times.map((line) => line.replace(/[\d.]+ ms$/, "")), ["queue", "decode", "resize", "inference", "transfer", "round trip"]);
  const [round, ...parts] = times.map((line) => Number(line.match(/[\d.]+/)[0])).reverse();
  assert.ok(Math.abs(parts.reduce((sum, part) => sum + part) - round) <= 3, times.join());
});

check("a picture that the browser does not know is answered all the same", async () => {
  const page = await visit();
  const tiff = join(repository, "testdata/images_more/rgb_packbits.tiff");
  await page.setInputFiles("#picture-file", tiff);
  await answered(page);
  assert.deepEqual(await shown(page), expected(await ask(tiff, { model: "demo" })));
  assert.match(await page.locator(".picture").first().textContent(), /cannot show/);
});

check("models that mean little say so", async () => {
  const other = await serve(program, ["--model", "demo", "--model", "random:xs"]);
  const page = await visit({}, { origin: other.origin });
  await page.waitForSelector("#facts span");
  const [demo, random] = await page.locator("#facts span").allTextContents();
  assert.match(demo, /^demo: 0\.7 million parameters, 12 classes, 64 × 64 pixels, .* drawn things/);
  assert.match(random, /^xs: 3\.5 million parameters, 1000 classes, 224 × 224 pixels, .* weights are random/);
  await other.stop();
});

check("at least one model stays ticked", async () => {
  const page = await visit();
  await page.uncheck("input[value=tiny]");
  await page.locator("input[value=demo]").click();
  assert.ok(await page.isChecked("input[value=demo]"));
});

check("a dropped picture is answered", async () => {
  const page = await visit();
  await drop(page, wide);
  await answered(page);
  assert.deepEqual(await shown(page), expected(await ask(wide, { model: "demo" })));
  assert.equal(await page.getAttribute(".card img", "alt"), "wide.png");
});

check("a pasted picture is answered", async () => {
  const page = await visit();
  await paste(page, await readFile(wide));
  await answered(page);
  assert.equal((await shown(page)).length, 5);
});

check("the heat map lies over what the model saw, bright where its values are large", async () => {
  const page = await visit();
  await page.setInputFiles("#picture-file", china);
  await answered(page);
  for (const [place, model] of ["demo", "tiny"].entries()) {
    const { top: [{ heatmap: values }], heatmap: { rows, columns, area } } = await ask(china, { model, heatmap: "grid" });
    const drawn = await page.locator(".card").nth(place).evaluate((card) => {
      const canvas = card.querySelector("canvas");
      const [map, picture] = [canvas, card.querySelector("img")].map((element) => element.getBoundingClientRect());
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const brightness = Array.from({ length: data.length / 4 }, (_, pixel) => data[4 * pixel] + data[4 * pixel + 1] + data[4 * pixel + 2]);
      return {
        area: {
          left: (map.left - picture.left) / picture.width,
          top: (map.top - picture.top) / picture.height,
          width: map.width / picture.width,
          height: map.height / picture.height,
        },
        size: [canvas.width, canvas.height],
        brightest: brightness.indexOf(Math.max(...brightness)),
      };
    });
    for (const side of Object.keys(area)) assert.ok(Math.abs(area[side] - drawn.area[side]) < 0.01, `${model} ${side}`);
    const most = values.indexOf(Math.max(...values));
    const found = [drawn.brightest % drawn.size[0] * columns / drawn.size[0], Math.floor(drawn.brightest / drawn.size[0]) * rows / drawn.size[1]];
    const wanted = [most % columns + 0.5, Math.floor(most / columns) + 0.5];
    found.forEach((at, axis) => assert.ok(Math.abs(at - wanted[axis]) <= 0.6, `${model}: ${found} for ${wanted}`));
  }
});

check("the slider sets how much of the heat map is seen, and a class shows its own", async () => {
  const page = await visit();
  await page.setInputFiles("#picture-file", china);
  await answered(page);
  const opacity = () => page.locator(".heatmap").first().evaluate((canvas) => Number(getComputedStyle(canvas).opacity));
  for (const percent of [0, 30, 100]) {
    await page.fill("#opacity", String(percent));
    assert.equal(await opacity(), percent / 100);
  }
  const pixels = () => page.locator(".heatmap").first().evaluate((canvas) => canvas.toDataURL());
  const best = await pixels();
  const second = page.locator(".card").first().locator(".classes button").nth(1);
  await second.click();
  assert.equal(await second.getAttribute("aria-pressed"), "true");
  assert.equal(await page.locator(".card").first().locator("[aria-pressed=true]").count(), 1);
  assert.notEqual(await pixels(), best);
});

check("what is no picture is refused in words, and the next picture is answered", async () => {
  const page = await visit();
  await page.setInputFiles("#picture-file", text);
  await page.waitForSelector("#error:not(:empty)");
  const { error: { message } } = await ask(text, {});
  assert.ok((await page.textContent("#error")).includes(message), message);
  assert.ok(await page.isHidden("#view"));
  await noFindings(page, "an error");
  await page.setInputFiles("#picture-file", china);
  await answered(page);
  assert.equal(await page.textContent("#error"), "");
});

check("a file that is too large for the server is told in words, and does not end a batch", async () => {
  const page = await visit();
  const large = join(scratch, "large.jpg");
  await writeFile(large, Buffer.alloc(20 << 20));
  await page.setInputFiles("#picture-file", large);
  await page.waitForSelector("#error:not(:empty)");
  assert.match(await page.textContent("#error"), /The server refuses: .*16/);
  await page.setInputFiles("#batch-files", [large, china]);
  await page.waitForFunction(() => document.getElementById("batch-counts").textContent.endsWith("done"));
  assert.match(await page.textContent("#batch-counts"), /^4 of 4, 2 failed/);
});

check("a server that is gone is told in words", async () => {
  const other = await serve(program, ["--model", "demo"]);
  const page = await visit({}, { origin: other.origin });
  await page.waitForSelector("#facts span");
  await other.stop();
  await page.setInputFiles("#picture-file", china);
  await page.waitForSelector("#error:not(:empty)");
  assert.match(await page.textContent("#error"), /does not answer/);
});

check("the camera is shown live, with frames a second, until it is stopped", async () => {
  const page = await visit({ permissions: ["camera"] });
  await page.click("#tab-camera");
  await page.click("#camera-switch");
  await answered(page);
  await page.waitForFunction(() => parseFloat(document.getElementById("camera-rate").textContent) > 0);
  assert.match(await page.textContent("#camera-rate"), /^[\d.]+ frames a second$/);
  assert.deepEqual(await page.locator(".card video").evaluateAll((videos) => videos.map((video) => video.videoWidth)), [320, 320]);
  assert.ok(await page.locator(".heatmap").first().isVisible());
  // The photograph moves, so that what is said of it changes.
  const first = JSON.stringify(await shown(page));
  await page.waitForFunction((first) => JSON.stringify([...document.querySelectorAll(".card")[0].querySelectorAll(".classes button")]
    .map((button) => [".label", ".score"].map((part) => button.querySelector(part).textContent))) !== first, first);
  await noFindings(page, "the camera");
  await page.click("#camera-switch");
  assert.ok(await page.isHidden("#view"));
  assert.equal(await page.textContent("#camera-rate"), "");
});

check("a camera that is not allowed is told in words", async () => {
  const page = await visit();
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
  });
  await page.click("#tab-camera");
  await page.click("#camera-switch");
  await page.waitForSelector("#error:not(:empty)");
  assert.match(await page.textContent("#error"), /not allowed/);
});

check("a folder is worked through and saved as CSV, a line a picture and model, failures too", async () => {
  const page = await visit();
  const files = (await readdir(drawn, { recursive: true })).filter((name) => /\.(png|jpg)$/.test(name));
  assert.equal(files.length, COUNT);
  await page.click("#tab-batch");
  await page.setInputFiles("#batch-folder", drawn);
  await page.waitForFunction(() => document.getElementById("batch-counts").textContent.endsWith("done"));
  assert.match(await page.textContent("#batch-counts"), new RegExp(`^${2 * COUNT} of ${2 * COUNT}, 0 failed, [\\d.]+ a second, done$`));
  assert.equal(await page.locator("#batch-rows tr").count(), 2 * COUNT);
  await noFindings(page, "a batch");
  const rows = await csv(page);
  assert.deepEqual(rows[0].slice(0, 6), ["file", "model", "class_1", "score_1", "class_2", "score_2"]);
  assert.equal(rows.length, 2 * COUNT + 1);
  assert.deepEqual([...new Set(rows.slice(1).map(([file]) => file))].sort(), files.map((file) => `drawn/${file}`).sort());
  const [file, model, ...best] = rows[1];
  const { top } = await ask(join(scratch, file), { model });
  assert.deepEqual(best.slice(0, 10), top.flatMap(({ label, score }) => [label, String(score)]));
  assert.deepEqual(rows[1].slice(12, 14), ["384", "384"]);

  await page.setInputFiles("#batch-files", [china, text]);
  await page.waitForFunction(() => document.getElementById("batch-counts").textContent.startsWith("4 of 4, 2 failed"));
  const failed = (await csv(page)).slice(1).map((row) => [row[0], row[1], row[2] !== "", row.at(-1) !== ""]);
  assert.deepEqual(failed, [["china.jpg", "demo", true, false], ["china.jpg", "tiny", true, false],
    ["text.png", "demo", false, true], ["text.png", "tiny", false, true]]);
});

check("a dropped folder is a batch", async () => {
  const page = await visit();
  await drop(page, join(drawn, "val"));
  await page.waitForFunction(() => document.getElementById("batch-counts").textContent.endsWith("done"));
  const files = (await readdir(join(drawn, "val"), { recursive: true })).filter((name) => /\.(png|jpg)$/.test(name));
  assert.deepEqual([...new Set((await csv(page)).slice(1).map(([file]) => file))].sort(), files.map((file) => `val/${file}`).sort());
});

check("a key is asked for, a wrong one refused, and a busy server waited for", async () => {
  const keys = join(scratch, "keys.txt");
  await writeFile(keys, `${KEY}\n`);
  const other = await serve(program, ["--model", "demo", "--api-key-file", keys, "--queue", "1"]);
  const page = await visit({}, { origin: other.origin });
  await page.waitForSelector("#key:not([hidden])");
  await noFindings(page, "the key");
  assert.equal(await page.evaluate(() => document.activeElement.id), "key-value");
  await page.keyboard.type("a wrong key");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#error:not(:empty)");
  assert.match(await page.textContent("#error"), /not known/);
  await page.fill("#key-value", KEY);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#facts span");
  assert.ok(await page.isHidden("#key") && await page.textContent("#error") === "");
  await page.setInputFiles("#batch-files", Array(6).fill(china));
  await page.waitForFunction(() => document.getElementById("batch-counts").textContent.startsWith("6 of 6, 0 failed"));
  await page.reload();
  await page.waitForSelector("#facts span");
  await other.stop();
});

check("a phone shows everything without scrolling sideways", async () => {
  const page = await visit({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
  const fits = async (state) => assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360, state);
  await fits("at first");
  await page.setInputFiles("#picture-file", china);
  await answered(page);
  await fits("a picture");
  for (const tab of ["camera", "batch"]) {
    await page.tap(`#tab-${tab}`);
    await fits(tab);
  }
  await page.setInputFiles("#batch-files", [china, text]);
  await page.waitForFunction(() => document.getElementById("batch-counts").textContent.endsWith("done"));
  await fits("a batch");
  await page.goto(`${server.origin}/docs`);
  await page.waitForSelector("#paths section");
  await fits("the description");
});

check("everything can be done with the keyboard, and the focus is always seen", async () => {
  const page = await visit();
  // Asked for early: Chromium tells of choosers only from then on.
  const choosing = page.waitForEvent("filechooser");
  const step = async (key = "Tab") => {
    await page.keyboard.press(key);
    return page.evaluate(() => {
      const element = document.activeElement;
      const drawn = element.matches("input[type=file]") ? element.closest("label") : element;
      const { outlineStyle, outlineWidth } = getComputedStyle(drawn);
      return { name: element.id || element.value || element.textContent, seen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
    });
  };
  const stops = [];
  const until = async (name) => {
    do {
      const { name, seen } = await step();
      assert.ok(seen, `the focus on ${name}`);
      stops.push(name);
    } while (stops.at(-1) !== name && stops.length < 60);
    assert.equal(stops.at(-1), name);
  };
  await until("picture-file");
  assert.deepEqual(stops, ["To the content", "SwiftFormer", "API", "theme", "demo", "tiny", "tab-picture", "picture-file"]);
  await page.keyboard.press("Enter");
  await (await choosing).setFiles(china);
  await answered(page);
  await until("opacity");
  await page.keyboard.press("End");
  assert.equal(await page.textContent("#opacity-value"), "100 %");
  await step();
  await step();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator(".card").first().locator("[aria-pressed=true] .label").textContent(), (await shown(page))[1][0]);
  await page.focus("#tab-picture");
  assert.equal((await step("ArrowRight")).name, "tab-camera");
  assert.equal((await step("End")).name, "tab-batch");
  assert.ok(await page.isVisible("#panel-batch") && await page.isHidden("#panel-picture"));
  assert.equal((await step()).name, "batch-folder");
});

check("themes follow the system or the button, and the choice stays", async () => {
  const page = await visit({ colorScheme: "dark" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const [light, dark] = ["rgb(247, 246, 243)", "rgb(20, 23, 27)"];
  assert.equal(await background(), dark);
  await page.emulateMedia({ colorScheme: "light" });
  assert.equal(await background(), light);
  await page.click("#theme");
  await page.click("#theme");
  assert.equal(await page.textContent("#theme"), "Theme: dark");
  assert.equal(await background(), dark);
  await page.reload();
  assert.equal(await background(), dark);
});

for (const colorScheme of ["light", "dark"]) {
  check(`axe has no serious finding in the ${colorScheme} theme`, async () => {
    const page = await visit({ colorScheme });
    await noFindings(page, "at first");
    await page.setInputFiles("#picture-file", china);
    await answered(page);
    await noFindings(page, "a picture");
    await page.click("#tab-batch");
    await page.setInputFiles("#batch-files", [china, text]);
    await page.waitForFunction(() => document.getElementById("batch-counts").textContent.endsWith("done"));
    await noFindings(page, "a batch");
    const description = await visit({ colorScheme }, { path: "/docs" });
    await description.waitForSelector("#paths section");
    await noFindings(description, "the description");
  });
}

if (screenshots) {
  check("screenshots are taken", async () => {
    const sizes = await takeScreenshots(visit, { drawn, folder: screenshots, answered });
    sizes.forEach(([name, size]) => assert.ok(size < 150_000, `${name} has ${size} bytes`));
  });
}

/** The rows of the CSV that the page saves. */
async function csv(page) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#batch-save")]);
  assert.equal(download.suggestedFilename(), "classes.csv");
  const content = await readFile(await download.path(), "utf8");
  return content.trimEnd().split("\r\n").map((line) => [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)]
    .map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain));
}
