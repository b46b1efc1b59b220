// Where the time of a request went: a bar of parts, and a list with the milliseconds of each.

import { make } from "./elements.js";

const PARTS = ["queue", "decode", "resize", "inference", "transfer"];

/** The parts of a round trip; what the server does not account for is `transfer`. */
export function parts({ timings_ms, round_trip }) {
  const { queue, decode, resize, inference, total } = timings_ms;
  // Answering and reading the request are the server's too, but belong to no stage.
  const transfer = Math.max(round_trip - total, 0) + Math.max(total - queue - decode - (resize ?? 0) - inference, 0);
  return { queue, decode, resize: resize ?? 0, inference, transfer };
}

/** Shows them in `element`. */
export function showTimings(element, answer) {
  const times = parts(answer);
  const bar = make("div", { className: "times-bar" }, ...PARTS.map((part) => {
    const piece = make("span", { className: part });
    piece.style.flexGrow = times[part];
    return piece;
  }));
  bar.setAttribute("aria-hidden", "true");
  const entry = (name, time) => make("div", { className: name }, make("dt", { textContent: name }), make("dd", { textContent: milliseconds(time) }));
  const list = make("dl", {}, ...PARTS.map((part) => entry(part, times[part])), entry("round trip", answer.round_trip));
  element.replaceChildren(bar, list);
}

function milliseconds(time) {
  return `${time.toFixed(time < 10 ? 1 : 0)} ms`;
}
