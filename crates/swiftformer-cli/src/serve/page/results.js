// A card for each model: the picture with a heat map over it, the five best classes, and where the time went.

import { announce, find, make } from "./elements.js";
import { drawHeatmap } from "./heatmap.js";
import { showTimings } from "./timings.js";

const opacity = find("opacity");
let cards = [];

opacity.addEventListener("input", showOpacity);
showOpacity();

/** What one model says of one picture, or of one frame after the other. */
export class Card {
  #picture = make("div", { className: "picture" });
  #canvas = make("canvas", { className: "heatmap", ariaHidden: "true" });
  #classes = make("ol", { className: "classes" });
  #times = make("div", { className: "times" });
  #answer = null;
  /** Index of the class whose heat map is shown; of none, the best one's is. */
  #marked = null;

  constructor(model) {
    this.model = model;
    const heading = make("h2", { textContent: model });
    this.element = make("article", { className: "card" }, this.#picture, make("div", { className: "says" }, heading, this.#classes, this.#times));
  }

  /** Puts a picture or a video under the heat map, and takes away what was said of the one before. */
  put(medium) {
    this.medium = medium;
    this.#marked = null;
    this.#answer = null;
    this.#classes.replaceChildren();
    this.#times.replaceChildren();
    this.#canvas.hidden = true;
    this.#picture.style.removeProperty("--ratio");
    this.#picture.replaceChildren(medium, this.#canvas);
    const fit = () => {
      const [width, height] = [medium.naturalWidth || medium.videoWidth, medium.naturalHeight || medium.videoHeight];
      this.#picture.style.setProperty("--ratio", width / height);
    };
    // Of pictures, of videos, and of videos on a phone that is turned.
    for (const known of ["load", "loadedmetadata", "resize"]) medium.addEventListener(known, fit);
    medium.addEventListener("error", () => {
      const note = `The browser cannot show ${medium.alt}; the server may know what it is.`;
      if (medium === this.medium) this.#picture.replaceChildren(make("p", { className: "note", textContent: note }));
    });
  }

  /** Shows an answer of `/v1/classify` with `heatmap=grid`. */
  show(answer) {
    this.#answer = answer;
    if (!answer.top.some(({ index }) => index === this.#marked)) this.#marked = null;
    this.#showClasses();
    this.#showHeatmap();
    showTimings(this.#times, answer);
  }

  #showClasses() {
    const { top, probabilities } = this.#answer;
    // The buttons stay while frames come and go, so that one keeps the focus.
    const items = this.#classes.children;
    while (items.length > top.length) items[items.length - 1].remove();
    while (items.length < top.length) this.#classes.append(this.#item());
    const most = Math.max(...top.map(({ score }) => Math.abs(score)));
    top.forEach(({ index, label, score }, rank) => {
      const button = items[rank].firstChild;
      const [name, value, bar] = button.children;
      name.textContent = label;
      value.textContent = probabilities ? percent(score) : score.toPrecision(3);
      bar.firstChild.style.width = `${100 * (probabilities ? score : Math.abs(score) / (most || 1))}%`;
      button.value = index;
      button.setAttribute("aria-pressed", index === this.#shown());
    });
  }

  #item() {
    const bar = make("span", { className: "bar" }, make("span"));
    bar.setAttribute("aria-hidden", "true");
    const button = make("button", { type: "button", title: "Show what speaks for this class" });
    button.append(make("span", { className: "label" }), make("span", { className: "score" }), bar);
    button.addEventListener("click", () => {
      this.#marked = Number(button.value);
      this.#showClasses();
      this.#showHeatmap();
      announce(`Heat map of ${button.firstChild.textContent}`);
    });
    return make("li", {}, button);
  }

  #showHeatmap() {
    const { heatmap, top } = this.#answer;
    const { heatmap: values } = top.find(({ index }) => index === this.#shown());
    this.#canvas.hidden = !values;
    if (values) drawHeatmap(this.#canvas, values, heatmap);
  }

  #shown() {
    return this.#marked ?? this.#answer.top[0].index;
  }
}

/** Shows a card for each of `models`, the same ones as before where there are. */
export function showCards(models) {
  cards = models.map((model) => cards.find((card) => card.model === model) ?? new Card(model));
  find("cards").replaceChildren(...cards.map(({ element }) => element));
  find("cards").classList.toggle("several", cards.length > 1);
  return cards;
}

/** Answers as a sentence. */
export function sentence(answers) {
  const said = ({ model, top: [{ label, score }], probabilities }) =>
    `${model}: ${label}, ${probabilities ? percent(score) : score.toPrecision(3)}`;
  return `${answers.map(said).join("; ")}.`;
}

function percent(score) {
  return `${(100 * score).toFixed(1)} %`;
}

function showOpacity() {
  find("cards").style.setProperty("--heat", opacity.value / 100);
  find("opacity-value").textContent = `${opacity.value} %`;
}
