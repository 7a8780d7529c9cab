// @ts-check
/**
 * Makes a fresh checkout ready: Node packages, the build, the Python environment.
 * Each is left alone where it is current. `node scripts/setup.mjs` sets up all
 * that development needs; `npm test` and `npm run demo` call the same functions.
 *
 * Needs nothing but Node: it runs before `npm ci` has.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Failure, main } from "./lib/failure.mjs";
import { fingerprint, readStamp, writeStamp } from "./lib/fingerprint.mjs";
import { CACHE, ROOT } from "./lib/paths.mjs";
import { npm } from "./lib/process.mjs";
import { ensureEnvironment } from "./lib/python.mjs";
import { Steps } from "./lib/steps.mjs";

/** What the build reads. */
const BUILD_INPUTS = [
  "package.json",
  "package-lock.json",
  "scripts/build.mjs",
  "src",
  "tsconfig.build.json",
  "tsconfig.json",
];

/** @param {Steps} steps */
export async function ensureNodePackages(steps) {
  demandNode();
  const stamp = join(ROOT, "node_modules", ".setup-stamp");
  const words = [process.platform, process.arch, process.versions.modules];
  const wanted = fingerprint({ files: ["package.json", "package-lock.json"], words });
  if (readStamp(stamp) === wanted) return;
  await steps.run("Node packages (npm ci)", async () => {
    await npm(["ci", "--no-audit", "--no-fund"], {
      help: "check the network and npm's registry (npm config get registry), then run the same command again",
    });
    writeStamp(stamp, wanted);
  });
}

/** @param {Steps} steps */
export async function ensureBuild(steps) {
  const stamp = join(CACHE, "build-stamp");
  const wanted = fingerprint({ files: BUILD_INPUTS });
  if (existsSync(join(ROOT, "dist", "cli", "main.js")) && readStamp(stamp) === wanted) return;
  await steps.run("build (npm run build)", async () => {
    await npm(["run", "build"]);
    writeStamp(stamp, wanted);
  });
}

function demandNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new Failure(
    "Node is too old",
    [
      ["needed", "20.19 or newer"],
      ["found", `${process.versions.node} at ${process.execPath}`],
    ],
    "install a current Node, e.g. the LTS release from nodejs.org",
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main(async () => {
    const steps = new Steps();
    await ensureNodePackages(steps);
    await ensureBuild(steps);
    await ensureEnvironment("dev", steps);
  });
}
