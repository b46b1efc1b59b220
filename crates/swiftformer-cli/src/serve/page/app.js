// Classifies a picture that is chosen.
const element = (id) => document.getElementById(id);

async function classify(file) {
  const response = await fetch("/v1/classify?timings=split", {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: file,
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

function show({ top, timings_ms }) {
  element("top").replaceChildren(...top.map(({ label, score }) => {
    const row = document.createElement("tr");
    for (const text of [label, `${(100 * score).toFixed(1)} %`]) row.insertCell().textContent = text;
    return row;
  }));
  const { decode, resize, inference } = timings_ms;
  element("timings").textContent = `decode ${decode} ms, resize ${resize} ms, inference ${inference} ms`;
}

element("file").addEventListener("change", async ({ target }) => {
  element("error").textContent = "";
  const [file] = target.files;
  if (!file) return;
  try {
    show(await classify(file));
  } catch (error) {
    element("error").textContent = error.message;
  }
});
