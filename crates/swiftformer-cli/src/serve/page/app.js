// The page: which part hears of what. Each part is a module of its own.

import { classify, classifyPatiently, hasKey, listModels } from "./api.js";
import { runBatch } from "./batch.js";
import { isCameraOn, onCamera, stopCamera, videoOf } from "./camera.js";
import { announce, complain, find, make } from "./elements.js";
import { askForKey } from "./key.js";
import { chosenModels, onModels, showModels } from "./models.js";
import { onPictures, pathOf } from "./pictures.js";
import { sentence, showCards } from "./results.js";
import { onTab, openTab } from "./tabs.js";
import "./theme.js";

const MAPS = { heatmap: "grid" };
/** Milliseconds between two sentences about what the camera sees. */
const SPEAK = 4000;
/** Milliseconds between two questions whether the models are loaded. */
const LOADING = 500;

/** The picture that is shown, and the request about it that can still be called off. */
let picture = null;
let asking = null;
/** When a sentence about the camera was spoken last. */
let spoken = -SPEAK;

onPictures(
  (file) => {
    picture = file;
    openTab("picture");
  },
  (files) => {
    openTab("batch");
    showBatch(files);
  },
);

onTab((name) => {
  complain();
  if (name !== "camera") stopCamera();
  find("view").hidden = true;
  if (name === "picture") showPicture();
});

onModels(() => {
  if (!isCameraOn() && !find("panel-picture").hidden) showPicture();
});

onCamera({
  begun: () => {
    models();
    find("view").hidden = false;
  },
  frame: async (blob, stream) => {
    const cards = showCards(models());
    cards.filter(({ medium }) => medium?.srcObject !== stream).forEach((card) => card.put(videoOf(stream)));
    const answers = await Promise.all(cards.map(({ model }) => classifyPatiently(blob, model, MAPS)));
    if (!isCameraOn()) return;
    cards.forEach((card, place) => card.show(answers[place]));
    if (performance.now() - spoken < SPEAK) return;
    spoken = performance.now();
    announce(sentence(answers));
  },
  ended: () => {
    find("view").hidden = true;
  },
  failed: (error, again) => fail(error, again),
});

begin();

async function begin() {
  try {
    let known = await listModels();
    while (!known.length) {
      find("facts").textContent = "The models are being loaded …";
      await new Promise((resolve) => setTimeout(resolve, LOADING));
      known = await listModels();
    }
    showModels(known);
    if (picture && !find("panel-picture").hidden) showPicture();
  } catch (error) {
    fail(error, begin);
  }
}

/** The chosen models, of which there must be one. */
function models() {
  const chosen = chosenModels();
  if (!chosen.length) throw new Error("There is no model to ask: none that tells classes is loaded.");
  return chosen;
}

/** Asks the chosen models about the picture, if there is one, and shows what they say, each on a card. */
async function showPicture() {
  asking?.abort();
  if (!picture) return;
  const own = asking = new AbortController();
  complain();
  announce(`Asking about ${pathOf(picture)}.`);
  try {
    const cards = showCards(models());
    cards.forEach((card) => card.put(imageOf(picture)));
    find("view").hidden = false;
    const answers = await Promise.all(cards.map(async (card) => {
      const answer = await classify(picture, card.model, MAPS, own.signal);
      if (own === asking) card.show(answer);
      return answer;
    }));
    if (own === asking) announce(sentence(answers));
  } catch (error) {
    if (own !== asking || error.name === "AbortError") return;
    own.abort();
    find("view").hidden = true;
    fail(error, showPicture);
  }
}

function imageOf(file) {
  const shown = make("img", { src: URL.createObjectURL(file), alt: pathOf(file) });
  for (const end of ["load", "error"]) shown.addEventListener(end, () => URL.revokeObjectURL(shown.src));
  return shown;
}

async function showBatch(files) {
  try {
    await runBatch(files, models());
  } catch (error) {
    fail(error, () => showBatch(files));
  }
}

/** Says what went wrong; where a key is wanted, goes on with `again` once there is one. */
function fail(error, again) {
  const wantsKey = error.status === 401;
  if (!wantsKey || hasKey()) complain(error.message);
  if (!wantsKey) return;
  askForKey(() => {
    complain();
    again();
  });
}
