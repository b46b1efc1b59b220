// Light, dark, or as the system has it. The style sheet follows `color-scheme`, which the choice sets.

import { find } from "./elements.js";

const NAME = "swiftformer-theme";
const THEMES = ["system", "light", "dark"];
const button = find("theme");

let theme = THEMES[0];
try {
  theme = THEMES.find((known) => known === localStorage.getItem(NAME)) ?? theme;
} catch {
  // Without storage every visit begins with the system's.
}
show();

button.addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  try {
    localStorage.setItem(NAME, theme);
  } catch {
    // As above.
  }
  show();
});

function show() {
  document.documentElement.dataset.theme = theme;
  button.textContent = `Theme: ${theme}`;
}
