// Tables as CSV (RFC 4180).

/** Rows of texts and numbers; what is missing is an empty field. */
export function toCsv(rows) {
  return rows.map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

function field(value) {
  const text = String(value ?? "");
  const plain = !/[",\r\n]/.test(text) && text.trim() === text;
  return plain ? text : `"${text.replaceAll('"', '""')}"`;
}

/** Has the browser save `text` as a file. */
export function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  // Browsers begin to read it after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
