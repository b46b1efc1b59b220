// The real program, on a free port.

import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { once } from "node:events";

/** Milliseconds that a start may take on a busy machine. */
const PATIENCE = 60_000;
const ENVIRONMENT = { ...process.env, HF_HUB_OFFLINE: "1" };

/** Starts `program serve` with `options` and waits until it is ready. */
export async function serve(program, options) {
  const child = spawn(program, ["serve", "--listen", "127.0.0.1:0", "--threads", "2", ...options], {
    stdio: ["ignore", "ignore", "pipe"],
    env: ENVIRONMENT,
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
  let origin;
  const lines = [];
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line);
    const entry = line.startsWith("{") ? JSON.parse(line) : {};
    if (entry.message === "listening") origin = `http://${entry.address}`;
    if (entry.message === "ready") break;
  }
  clearTimeout(timer);
  if (!origin || child.exitCode !== null) throw new Error(`the server did not start:\n${lines.join("\n")}`);
  child.stderr.resume();
  const stop = async () => {
    if (child.exitCode === null && child.kill("SIGTERM")) await once(child, "exit");
  };
  return { origin, stop };
}

/** Runs the program to its end. */
export function run(program, options) {
  const { status, stderr } = spawnSync(program, options, { env: ENVIRONMENT, encoding: "utf8" });
  if (status !== 0) throw new Error(`${options.join(" ")}: ${stderr}`);
}
