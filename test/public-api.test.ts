import { expect, test } from "vitest";
import * as api from "../src/index.ts";

test("the names that the package exports", () => {
  expect(Object.keys(api).toSorted()).toEqual([
    "NpuDiffError",
    "compareDumps",
    "compareTaskResults",
    "isNpuDiffError",
    "openDump",
    "repairDump",
  ]);
});
