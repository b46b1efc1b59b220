// The field for a key, shown when the server asks for one.

import { useKey } from "./api.js";
import { find } from "./elements.js";

let given = () => {};

/** Shows the field and calls `listener` when a key is given. */
export function askForKey(listener) {
  given = listener;
  find("key").hidden = false;
  find("key-value").focus();
}

find("key").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = find("key-value").value.trim();
  // Headers carry visible ASCII only.
  if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value)) return;
  useKey(value);
  find("key-value").value = "";
  find("key").hidden = true;
  given();
});
