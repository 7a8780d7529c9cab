/** Shows a report that was written, in whatever the system opens such files with. */

import { spawn } from "node:child_process";

/** What opens a file, by platform; the path follows as a word of its own, and no shell reads it. */
const OPENERS: Readonly<Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>>> = {
  darwin: ["open"],
  win32: ["rundll32", "url.dll,FileProtocolHandler"],
};

/**
 * Starts the system's viewer and does not wait for it.
 *
 * @returns why nothing was started; null where something was
 */
export function openReport(path: string): Promise<string | null> {
  const [program, ...args] = OPENERS[process.platform] ?? ["xdg-open"];
  return new Promise((resolve) => {
    const viewer = spawn(program, [...args, path], { detached: true, stdio: "ignore" });
    viewer.once("error", ({ message }) => {
      resolve(message);
    });
    viewer.once("spawn", () => {
      viewer.unref();
      resolve(null);
    });
  });
}
