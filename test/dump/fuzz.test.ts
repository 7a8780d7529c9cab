/** Damaged files of every format that is read: a dump, or an error with a code. `npm run fuzz` tries more. */

import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const INPUTS = 200;

interface Report {
  readonly format: string;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly failures: readonly unknown[];
}

test("no damaged file is anything but a dump or an error with a code", () => {
  const args = ["scripts/fuzz.mjs", "--inputs", String(INPUTS), "--json"];
  let text: string;
  try {
    text = execFileSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
  } catch (error) {
    // The status is 1 where any failed: the report says which.
    text = (error as { readonly stdout: string }).stdout;
  }
  const reports = JSON.parse(text) as readonly Report[];
  expect(reports.flatMap(({ failures }) => failures)).toEqual([]);
  const folders = readdirSync(`${ROOT}fixtures/foreign`, { withFileTypes: true });
  const formats = folders.filter((one) => one.isDirectory()).map(({ name }) => name);
  expect(reports.map(({ format }) => format)).toEqual(["arrow", ...formats]);
  for (const { format, outcomes } of reports) {
    expect(outcomes["dump-corrupt"], format).toBeGreaterThan(0);
    expect(Object.keys(outcomes).length, format).toBeGreaterThan(3);
  }
});
