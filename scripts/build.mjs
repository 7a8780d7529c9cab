// @ts-check
/** `npm run build`: compiles src/ into an empty dist/. */

import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { main } from "./lib/failure.mjs";
import { ROOT } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";

await main(async () => {
  const dist = join(ROOT, "dist");
  // A module that is gone from src/ must not live on in the package.
  rmSync(dist, { recursive: true, force: true });
  const compiler = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  await run(process.execPath, [compiler, "-p", "tsconfig.build.json"]);
  chmodSync(join(dist, "cli", "main.js"), 0o755);
});
