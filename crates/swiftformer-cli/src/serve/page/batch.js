// Many pictures: a few at a time, with progress, a table, and all of it as CSV.

import { classifyPatiently, NO_ANSWER, Problem } from "./api.js";
import { save, toCsv } from "./csv.js";
import { announce, find, make } from "./elements.js";
import { pathOf } from "./pictures.js";

/** Requests under way at a time: the server decodes some while it computes others. */
const AT_ONCE = 4;
/** Classes of each picture. */
const TOP = 5;
/** Rows that are shown; more would make the page slow. */
const SHOWN = 500;
/** Milliseconds between two changes of the figures. */
const REFRESH = 100;

const HEAD = ["file", "model", ...Array.from({ length: TOP }, (_, rank) => [`class_${rank + 1}`, `score_${rank + 1}`]).flat(),
  "width", "height", "decode_ms", "resize_ms", "inference_ms", "round_trip_ms", "error"];

let batch = null;

find("batch-stop").addEventListener("click", stop);
find("batch-save").addEventListener("click", () => save("classes.csv", batchCsv()));

/** Asks `models` about every file. Resolves when all are done or the batch is stopped; rejects when no answer can come. */
export async function runBatch(files, models) {
  stop();
  const own = batch = { rows: [], controller: new AbortController(), start: performance.now(), done: 0, failed: 0, drawn: 0, end: 0 };
  own.jobs = files.flatMap((file) => models.map((model) => ({ file, model })));
  begin(own);
  const queue = own.jobs.entries();
  const workers = Array.from({ length: AT_ONCE }, async () => {
    for (const [place, job] of queue) {
      if (own.controller.signal.aborted) return;
      own.rows[place] = await ask(job, own.controller.signal);
      if (!own.rows[place]) return;
      own.done++;
      if (own.rows[place].error) own.failed++;
      refresh(own);
    }
  });
  try {
    await Promise.all(workers);
  } finally {
    // An error of one ends the others.
    own.controller.abort();
    own.end = performance.now();
    if (own === batch) finish(own);
  }
}

function stop() {
  batch?.controller.abort();
}

/** The answer, or what is wrong with this picture; nothing when the batch was stopped. */
async function ask({ file, model }, signal) {
  try {
    return { file, model, answer: await classifyPatiently(file, model, { top: TOP }, signal) };
  } catch (error) {
    if (signal.aborted) return null;
    // Without a key or a server, the other pictures fare no better.
    if (!(error instanceof Problem) || error.status === 401 || error.code === NO_ANSWER) throw error;
    return { file, model, error: error.message };
  }
}

/** All answers so far, in the order of the files. */
function batchCsv() {
  const rows = batch.rows.filter(Boolean).map(({ file, model, answer, error }) => {
    if (error) return [pathOf(file), model, ...Array(HEAD.length - 3), error];
    const best = Array.from({ length: TOP }, (_, rank) => [answer.top[rank]?.label, answer.top[rank]?.score]).flat();
    const { decode, resize, inference } = answer.timings_ms;
    const { width, height } = answer.image;
    return [pathOf(file), model, ...best, width, height, decode, resize, inference, answer.round_trip.toFixed(3), ""];
  });
  return toCsv([HEAD, ...rows]);
}

function begin({ jobs }) {
  find("batch-run").hidden = false;
  find("batch-progress").max = jobs.length;
  find("batch-stop").disabled = false;
  find("batch-save").disabled = true;
  const names = ["Picture", "Model", "Best class", "Score", "Second", "Inference"];
  find("batch-head").replaceChildren(make("tr", {}, ...names.map((name) => make("th", { scope: "col", textContent: name }))));
  find("batch-rows").replaceChildren();
  find("batch-shown").textContent = jobs.length > SHOWN ? `The table shows the first ${SHOWN}; the CSV has them all.` : "";
  announce(`${jobs.length} pictures to do.`);
  batch.drawn = 0;
  figures(batch);
}

/** Draws at most every now and then: answers may come faster than anybody reads. */
function refresh(own) {
  if (own !== batch || own.timer) return;
  own.timer = setTimeout(() => {
    own.timer = 0;
    if (own === batch && !own.end) figures(own);
  }, REFRESH);
}

function finish(own) {
  figures(own);
  find("batch-stop").disabled = true;
  announce(find("batch-counts").textContent);
}

function figures(own) {
  const { rows, jobs, done, failed, start, end } = own;
  const seconds = ((end || performance.now()) - start) / 1000;
  const rate = done / seconds;
  const left = end ? (done < jobs.length ? "stopped" : "done") : `about ${Math.ceil((jobs.length - done) / (rate || 1))} s left`;
  find("batch-progress").value = done;
  find("batch-counts").textContent = `${done} of ${jobs.length}, ${failed} failed, ${rate.toFixed(1)} a second, ${left}`;
  find("batch-save").disabled = done === 0;
  while (own.drawn < SHOWN && rows[own.drawn]) find("batch-rows").append(line(rows[own.drawn++]));
}

function line({ file, model, answer, error }) {
  const name = make("th", { scope: "row", textContent: pathOf(file) });
  if (error) return make("tr", {}, name, cell(model), make("td", { colSpan: 4, className: "wrong", textContent: error }));
  const [best, second] = answer.top;
  const score = ({ score }) => (answer.probabilities ? `${(100 * score).toFixed(1)} %` : score.toPrecision(3));
  const also = second ? `${second.label} ${score(second)}` : "";
  return make("tr", {}, name, cell(model), cell(best.label), cell(score(best)), cell(also), cell(`${answer.timings_ms.inference.toFixed(1)} ms`));
}

function cell(textContent) {
  return make("td", { textContent });
}
