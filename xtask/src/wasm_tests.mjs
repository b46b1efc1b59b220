// Runs a Rust test program that was compiled to a WebAssembly module: node wasm_tests.mjs MODULE.wasm
import { readFileSync } from "node:fs";
import { basename } from "node:path";

// The stack of a trap names the test that failed, far below the panic's own frames.
Error.stackTraceLimit = 60;

const path = process.argv[2];
const bytes = readFileSync(path);
// The module holds its tests' names: without the SIMD tests among them, nothing would be tested.
if (!bytes.includes("::simd128")) {
  console.error(`${basename(path)} holds no test of the SIMD kernels`);
  process.exit(1);
}
const { instance } = await WebAssembly.instantiate(bytes, {});
const code = instance.exports.main(0, 0);
console.log(`${basename(path)}: ${code === 0 ? "every test passed" : `failed with code ${code}`}`);
process.exit(code);
