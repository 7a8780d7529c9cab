// @ts-check
/** The browser that shows the HTML report to its tests. */

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Names of Chromium and its like on a PATH, the preferred first. */
const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
const ELSEWHERE = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** How one comes by it. */
export const HOW_TO_GET =
  "install Chromium (Debian: apt-get install chromium), or name one: CHROMIUM=/path/to/chromium";

/** Path of a browser: the one that CHROMIUM names, else the first that is installed; undefined where there is none. */
export function findChromium() {
  const named = process.env["CHROMIUM"];
  if (named !== undefined && named !== "") return isProgram(named) ? named : undefined;
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const onPath = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...onPath, ...ELSEWHERE].find(isProgram);
}

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
