// @ts-check
/** `npm run build`: compiles src/ into an empty dist/, the kernel to WebAssembly. */

import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { main } from "./lib/failure.mjs";
import { ROOT } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";

/** @param {string} to */
async function buildKernel(to) {
  const compiler = join(ROOT, "node_modules", "assemblyscript", "bin", "asc.js");
  const source = join(ROOT, "src", "measure", "kernel", "assembly", "index.ts");
  // No relaxed SIMD: what comes out must not depend on the processor. Nothing is
  // allocated at run time, so the runtime is a stub.
  const features = ["--enable", "simd", "--enable", "bulk-memory", "--runtime", "stub"];
  await run(process.execPath, [compiler, source, "-o", to, "-O3", "--noAssert", ...features]);
}

await main(async () => {
  const dist = join(ROOT, "dist");
  // A module that is gone from src/ must not live on in the package.
  rmSync(dist, { recursive: true, force: true });
  const compiler = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  await run(process.execPath, [compiler, "-p", "tsconfig.build.json"]);
  await buildKernel(join(dist, "measure", "kernel", "kernel.wasm"));
  chmodSync(join(dist, "cli", "main.js"), 0o755);
});
