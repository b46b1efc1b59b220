// Shows openapi.json.
const make = (tag, text, ...children) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};

const api = await (await fetch("/openapi.json")).json();
const resolve = (part) => part.$ref ? part.$ref.slice(2).split("/").reduce((at, key) => at[key], api) : part;

function table(head, rows) {
  const header = make("tr", "", ...head.map((text) => make("th", text)));
  const body = rows.map((cells) => make("tr", "", ...cells.map((text) => make("td", text))));
  return make("table", "", make("thead", "", header), make("tbody", "", ...body));
}

function operation(path, method, { summary, description, parameters = [], requestBody, responses }) {
  const section = make("section", "", make("h2", `${method.toUpperCase()} ${path}`), make("p", summary));
  if (description) section.append(make("p", description));
  if (parameters.length) {
    const rows = parameters.map(resolve).map(({ name, in: place, description = "" }) => [name, place, description]);
    section.append(make("h3", "Parameters"), table(["name", "in", "meaning"], rows));
  }
  if (requestBody) {
    const rows = Object.entries(resolve(requestBody).content).map(([type, { schema = {} }]) => [type, resolve(schema).description ?? ""]);
    section.append(make("h3", "Body"), table(["type", "what"], rows));
  }
  const rows = Object.entries(responses).map(([status, response]) => [status, resolve(response).description]);
  section.append(make("h3", "Answers"), table(["status", "what"], rows));
  const example = Object.values(responses).map(resolve)[0].content?.["application/json"]?.example;
  if (example) section.append(make("pre", JSON.stringify(example, null, 2)));
  return section;
}

document.getElementById("about").textContent = `${api.info.title} ${api.info.version}. ${api.info.description}`;
const sections = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, details]) => operation(path, method, details)));
document.getElementById("paths").replaceChildren(...sections);
