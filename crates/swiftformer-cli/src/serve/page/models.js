// Which models are asked. With several, those that are ticked stand side by side.

import { find, make } from "./elements.js";

/** At first, no more than this many models are ticked. */
const SIDE_BY_SIDE = 2;

let known = [];
let changed = () => {};

/** Calls `listener` when other models are ticked. */
export function onModels(listener) {
  changed = listener;
}

/** Shows the models that `/v1/models` lists. */
export function showModels(models) {
  known = models.filter(({ classifies }) => classifies);
  find("models").hidden = known.length < 2;
  find("model-list").replaceChildren(...known.map(({ name }, index) => {
    const box = make("input", { type: "checkbox", value: name, checked: index < SIDE_BY_SIDE });
    box.addEventListener("change", () => {
      // Somebody must answer.
      if (!chosen().length) box.checked = true;
      describe();
      changed();
    });
    return make("label", { className: "choice" }, box, name);
  }));
  describe();
}

/** Names of the models that are asked. */
export function chosenModels() {
  return chosen().map(({ name }) => name);
}

function chosen() {
  const ticked = [...find("model-list").querySelectorAll("input")].filter((box) => box.checked).map((box) => box.value);
  return known.filter(({ name }) => ticked.includes(name));
}

function describe() {
  const facts = find("facts");
  facts.replaceChildren(...chosen().map(({ name, parameters, classes, input, precision, isa, demo, random_weights }) => {
    const millions = (parameters / 1e6).toFixed(parameters < 1e7 ? 1 : 0);
    const text = `${name}: ${millions} million parameters, ${classes} classes, ${input[2]} × ${input[1]} pixels, ${precision} on ${isa}.`;
    const line = make("span", {}, text);
    if (demo) line.append(make("strong", {}, " It knows a dozen drawn things and takes everything else for one of them."));
    if (random_weights) line.append(make("strong", {}, " Its weights are random: its answers mean nothing."));
    return line;
  }));
  if (!known.length) facts.textContent = "No model here tells classes.";
}
