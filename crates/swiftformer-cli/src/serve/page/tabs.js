// Tabs by the pattern of the ARIA authoring practices: one stop of the Tab key, arrows go from one to the next.

import { find } from "./elements.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
const listeners = [];

/** Calls `listener` with the name of each tab that is opened: "picture", "camera", "batch". */
export function onTab(listener) {
  listeners.push(listener);
}

/** Opens a tab by its name. */
export function openTab(name) {
  for (const tab of tabs) {
    const chosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    find(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  listeners.forEach((listener) => listener(name));
}

for (const [index, tab] of tabs.entries()) {
  tab.addEventListener("click", () => openTab(nameOf(tab)));
  tab.addEventListener("keydown", (event) => {
    const last = tabs.length - 1;
    const place = { ArrowRight: index === last ? 0 : index + 1, ArrowLeft: index === 0 ? last : index - 1, Home: 0, End: last }[event.key];
    if (place === undefined) return;
    event.preventDefault();
    tabs[place].focus();
    openTab(nameOf(tabs[place]));
  });
}

function nameOf(tab) {
  return tab.id.replace("tab-", "");
}
