// @ts-check
/** Where things are, whatever the working directory. */

import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** What is made once and kept; never committed. */
export const CACHE = join(ROOT, ".cache");

/** The Python environment of the repository. */
export const VENV = join(ROOT, ".venv");

/**
 * The interpreter of a virtual environment.
 *
 * @param {string} environment
 */
export function interpreterOf(environment) {
  return process.platform === "win32"
    ? join(environment, "Scripts", "python.exe")
    : join(environment, "bin", "python");
}

/**
 * The files that an executable's name stands for on PATH, in order.
 *
 * @param {string} name
 */
export function onPath(name) {
  const suffix = process.platform === "win32" ? ".exe" : "";
  return (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name + suffix))
    .filter((path) => existsSync(path));
}
