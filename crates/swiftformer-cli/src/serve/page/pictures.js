// Where files come from: chosen, dropped anywhere (also as folders), or pasted.

import { complain, find } from "./elements.js";

const IMAGE = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?)$/i;

/** Calls `one(file)` for a picture by itself, `many(files)` for several or for folders. */
export function onPictures(one, many) {
  listen("picture-file", ([file]) => one(file));
  listen("batch-files", many);
  listen("batch-folder", (files) => folder(files));

  document.addEventListener("paste", ({ clipboardData }) => {
    const files = [...clipboardData.files];
    if (files.length === 1) one(files[0]);
    if (files.length > 1) many(files);
  });

  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    // What is dropped can be asked for only until the first pause.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = [...event.dataTransfer.files];
    if (entries.some(({ isDirectory }) => isDirectory)) folder(await walk(entries));
    else if (files.length > 1) many(files);
    else if (files.length === 1) one(files[0]);
    else complain("That was no file. Save the picture and drop it here; this page loads nothing from elsewhere.");
  });

  function folder(files) {
    const pictures = files.filter(({ name }) => IMAGE.test(name));
    if (pictures.length) many(pictures);
    else complain("There is no JPEG, PNG, WebP, GIF, BMP or TIFF in this folder.");
  }
}

/** The path of a file in the folder that was chosen or dropped, or its name. */
export function pathOf(file) {
  return file.path ?? (file.webkitRelativePath || file.name);
}

function listen(id, listener) {
  find(id).addEventListener("change", ({ target }) => {
    const files = [...target.files];
    // So that choosing the same file again is a change.
    target.value = "";
    if (files.length) listener(files);
  });
}

/** All files below `entries`, in the order of their paths. */
async function walk(entries) {
  const files = [];
  for (const entry of entries.sort((one, other) => one.fullPath.localeCompare(other.fullPath))) {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      files.push(Object.assign(file, { path: entry.fullPath.replace(/^\//, "") }));
    } else {
      for (const file of await walk(await children(entry))) files.push(file);
    }
  }
  return files;
}

/** What a folder holds; browsers tell a hundred at a time. */
async function children(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}
