/** The packages that `uv run fixtures/generate.py` installs are those of the lock. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
}

test("every pin of fixtures/generate.py is one of scripts/requirements/dev.txt", () => {
  const header = read("fixtures/generate.py").split("# ///\n")[0] ?? "";
  const pins = [...header.matchAll(/"(?<pin>[\w-]+==[\d.]+)"/g)].map(
    ({ groups }) => groups?.["pin"],
  );
  const locked = [...read("scripts/requirements/dev.txt").matchAll(/^(?<pin>[\w-]+==[\w.]+)/gm)];
  expect(pins.length).toBeGreaterThan(0);
  expect(locked.map(({ groups }) => groups?.["pin"])).toEqual(expect.arrayContaining(pins));
});
