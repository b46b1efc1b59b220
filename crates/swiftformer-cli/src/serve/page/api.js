// The server's interface: which models there are, and what they say of a picture.

/** Code of a request that nobody answered. */
export const NO_ANSWER = "no_answer";
const KEY = "swiftformer-key";
/** Seconds to wait when the server is busy and does not say how long. */
const BUSY = 1;

let key = read();

/** A refusal or a failure, as a sentence for people; `status` and `code` are the server's; where it did not answer, 0 and our own. */
export class Problem extends Error {
  constructor(message, { status = 0, code = "", retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** Sends `value` with every request from now on, in this tab. */
export function useKey(value) {
  key = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // Without storage the key lasts until the page is left.
  }
}

/** Whether requests carry a key. */
export function hasKey() {
  return key !== "";
}

/** What `/v1/models` tells, the default model first; empty while they are loaded. */
export async function listModels() {
  const { models } = (await request("/v1/models")).answer;
  return models;
}

/**
 * What `model` says of a picture. Options are the parameters of `/v1/classify`. The answer has `round_trip`, the
 * milliseconds from sending to having read the answer.
 */
export async function classify(picture, model, options = {}, signal = undefined) {
  const query = new URLSearchParams({ model, timings: "split", ...options });
  const headers = { "Content-Type": "application/octet-stream" };
  // Read first: a file that is gone should not look like a server that is.
  const body = await picture.arrayBuffer().catch(() => {
    throw new Problem(`The browser cannot read ${picture.name}.`, { code: "unreadable" });
  });
  const { answer, milliseconds } = await request(`/v1/classify?${query}`, { method: "POST", headers, body, signal });
  return { ...answer, round_trip: milliseconds };
}

/** As `classify`, but waits while the server is busy. */
export async function classifyPatiently(picture, model, options, signal = undefined) {
  for (;;) {
    try {
      return await classify(picture, model, options, signal);
    } catch (error) {
      if (error.status !== 503) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfter || BUSY)));
      signal?.throwIfAborted();
    }
  }
}

async function request(target, { headers = {}, ...rest } = {}) {
  if (key) headers = { ...headers, "X-Api-Key": key };
  const start = performance.now();
  let response, answer;
  try {
    response = await fetch(target, { ...rest, headers });
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw response ? unreadable(response) : new Problem("The server does not answer. Is it still running?", { code: NO_ANSWER });
  }
  if (!response.ok) throw refusal(response, answer);
  return { answer, milliseconds: performance.now() - start };
}

function refusal({ status, headers }, { error = {} }) {
  const { message = "no reason given", code = "" } = error;
  const retryAfter = Number(headers.get("Retry-After")) || 0;
  const wait = retryAfter ? ` Try again in ${retryAfter} s.` : "";
  return new Problem(`The server refuses: ${message}.${wait}`, { status, code, retryAfter });
}

function unreadable({ status }) {
  return new Problem(`The server's answer (status ${status}) cannot be read.`, { status });
}

function read() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
