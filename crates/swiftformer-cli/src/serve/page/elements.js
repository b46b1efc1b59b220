// Finding, making and speaking: the few things that every part of the page does with elements.

export const find = (id) => document.getElementById(id);

/** A new element. `properties` are set on it, `children` are elements or text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A sentence for screen readers. */
export function announce(text) {
  find("status").textContent = text;
}

/** An error in words, or none. */
export function complain(text = "") {
  find("error").textContent = text;
}
