// @ts-check
/**
 * `npm run build`: compiles src/ into an empty dist/, the kernel to WebAssembly,
 * and bundles the programs: loading two hundred small modules takes longer than
 * comparing a small pair of dumps.
 */

import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { main } from "./lib/failure.mjs";
import { ROOT } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";

const DIST = join(ROOT, "dist");
const KERNEL = join("measure", "kernel");

const PAGE = join("report", "html");

/** What other people's code in a bundle may be copied under. */
const LICENSES = join(DIST, "LICENSES.txt");

async function compileSources() {
  const compiler = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  await run(process.execPath, [compiler, "-p", "tsconfig.build.json"]);
}

async function compileKernel() {
  const compiler = join(ROOT, "node_modules", "assemblyscript", "bin", "asc.js");
  const source = join(ROOT, "src", KERNEL, "assembly", "index.ts");
  const target = join(DIST, KERNEL, "kernel.wasm");
  // No relaxed SIMD: what comes out must not depend on the processor. Nothing is
  // allocated at run time, so the runtime is a stub.
  const features = ["--enable", "simd", "--enable", "bulk-memory", "--runtime", "stub"];
  const optimized = ["-O3", "--noAssert"];
  await run(process.execPath, [compiler, source, "-o", target, ...optimized, ...features]);
}

/** The style and the script of the HTML report as a module: it puts them into the page, and their hashes into its policy. */
async function compilePage() {
  const bundled = await rolldown({
    input: join(ROOT, "src", PAGE, "client", "main.ts"),
    platform: "browser",
    logLevel: "warn",
  });
  const { output } = await bundled.generate({ format: "iife", minify: true });
  await bundled.close();
  const style = readFileSync(join(ROOT, "src", PAGE, "style.css"), "utf8")
    .replaceAll(/\/\*.*?\*\//gs, "")
    .replaceAll(/\s+/g, " ");
  const asset = (/** @type {string} */ name, /** @type {string} */ text) => {
    if (/<\/|<!--/.test(text)) throw new Error(`the page's ${name} holds markup`);
    const hash = `sha256-${createHash("sha256").update(text).digest("base64")}`;
    return `export const ${name} = ${JSON.stringify({ text, hash })};\n`;
  };
  const script = output.map((part) => (part.type === "chunk" ? part.code.trim() : "")).join("");
  writeFileSync(
    join(DIST, PAGE, "assets.js"),
    asset("STYLE", style.trim()) + asset("SCRIPT", script),
  );
}

/**
 * A program of dist/ with all that it imports.
 *
 * @param {string} folder in dist/
 * @param {readonly string[]} programs
 */
async function bundle(folder, programs) {
  const input = Object.fromEntries(
    programs.map((name) => [name, join(DIST, folder, `${name}.js`)]),
  );
  const bundled = await rolldown({
    input,
    platform: "node",
    logLevel: "warn",
    // Hundreds of megabytes of native code, which users add where they need it.
    external: ["onnxruntime-node"],
    // yargs brings one whose expressions and segmenter take 17 ms to set up, help or no help.
    resolve: {
      alias: {
        "string-width": "fast-string-width",
        // Its main file is UMD, whose requires no bundler follows.
        "jsonc-parser": "jsonc-parser/lib/esm/main.js",
      },
    },
  });
  const { output } = await bundled.generate({
    format: "esm",
    chunkFileNames: "[name]-[hash].js",
    // What is shorter is parsed sooner; names stay, for whoever reads a stack trace.
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
  });
  await bundled.close();
  return output.filter((part) => part.type === "chunk");
}

/**
 * The folder of the package that a module belongs to.
 *
 * @param {string} module path
 */
function packageOf(module) {
  const [, folder] = /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)/.exec(module) ?? [];
  return folder === undefined ? [] : [folder];
}

/** @param {readonly string[]} packages folders */
function writeLicenses(packages) {
  const texts = [...new Set(packages)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(join(folder, "package.json"), "utf8"),
    );
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? "" : `\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
    return `${name} ${version}${license === undefined ? "" : ` (${license})`}\n${text}`;
  });
  writeFileSync(LICENSES, `${texts.join(`\n${"-".repeat(72)}\n\n`)}`);
}

await main(async () => {
  // A module that is gone from src/ must not live on in the package.
  rmSync(DIST, { recursive: true, force: true });
  await compileSources();
  await compileKernel();
  await compilePage();
  const command = await bundle("cli", ["main", "run-worker"]);
  const helper = await bundle(KERNEL, ["helper"]);
  // Nothing in the library imports the modules of the command line.
  rmSync(join(DIST, "cli"), { recursive: true });
  mkdirSync(join(DIST, "cli"));
  for (const { fileName, code } of command) writeFileSync(join(DIST, "cli", fileName), code);
  for (const { fileName, code } of helper) writeFileSync(join(DIST, KERNEL, fileName), code);
  writeLicenses([...command, ...helper].flatMap(({ moduleIds }) => moduleIds).flatMap(packageOf));
  chmodSync(join(DIST, "cli", "main.js"), 0o755);
});
