// @ts-check
/** What a cached result was made from, as one hash, and the stamps that remember it. */

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ROOT } from "./paths.mjs";

/** Made by running things, not by people: no source. */
const GENERATED = new Set(["__pycache__", "node_modules"]);

/**
 * SHA-256 over the names and contents of files (folders with all that is in
 * them) and over plain words.
 *
 * @param {{ files?: readonly string[], words?: readonly string[] }} parts files relative to the root
 */
export function fingerprint({ files = [], words = [] }) {
  const hash = createHash("sha256").update(JSON.stringify(words));
  for (const file of files.flatMap((path) => filesIn(join(ROOT, path)))) {
    const name = relative(ROOT, file).replaceAll("\\", "/");
    hash.update(`\0${name}\0`).update(createHash("sha256").update(readFileSync(file)).digest());
  }
  return hash.digest("hex");
}

/**
 * @param {string} path
 * @returns {string[]}
 */
function filesIn(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .filter((name) => !GENERATED.has(name))
    .sort()
    .flatMap((name) => filesIn(join(path, name)));
}

/**
 * The content of a stamp; empty where there is none.
 *
 * @param {string} path
 */
export function readStamp(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/**
 * @param {string} path
 * @param {string} content
 */
export function writeStamp(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
