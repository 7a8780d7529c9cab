import { describe, expect, test } from "vitest";
import {
  formatAgainst,
  formatBytes,
  formatChange,
  formatCosine,
  formatError,
  formatRatio,
  formatShare,
} from "../../src/report/format-number.ts";
import { commonScale, sparkline } from "../../src/report/sparkline.ts";
import { padEnd, padStart, width, wrapText } from "../../src/report/table.ts";
import { fitNames } from "../../src/report/tensor-label.ts";

describe("numbers", () => {
  test.each([
    [formatError, 0.00123, "1.2e-3"],
    [formatError, 0, "0"],
    [formatError, Number.POSITIVE_INFINITY, "inf"],
    [formatError, Number.NaN, "NaN"],
    [formatCosine, 0.98134249, "0.981342"],
    [formatCosine, 1, "1.000000"],
    [formatCosine, 1 - 1e-9, "1.000000"],
    [formatRatio, 1.066, "1.07"],
    [formatRatio, 67.21, "67.2"],
    [formatRatio, 9.996, "10.0"],
    [formatRatio, 123456, "1.2e+5"],
    [formatShare, 0.951, "95.1 %"],
    [formatShare, 1, "100.0 %"],
    [formatShare, 0.9999, "99.99 %"],
    [formatShare, 1 - 1e-9, "99.999 %"],
    [formatChange, 0.053, "+5.3 %"],
    [formatChange, -0.0037, "-0.37 %"],
    [formatChange, 0, "0.0 %"],
    [formatBytes, 999, "999 B"],
    [formatBytes, 1000, "1.0 kB"],
    [formatBytes, 1.4e9, "1.4 GB"],
  ])("%o(%f) is %s", (format, value, expected) => {
    expect(format(value)).toBe(expected);
  });

  test("a value and its limit never look equal unless they are", () => {
    expect(formatAgainst("ratio", 1.5004, 1.5)).toEqual(["1.5004", "1.5"]);
    expect(formatAgainst("ratio", 1.5, 1.5)).toEqual(["1.50", "1.50"]);
    expect(formatAgainst("share", 0.98999, 0.99)).toEqual(["98.999 %", "99 %"]);
  });
});

describe("columns", () => {
  test("a Chinese character is two wide", () => {
    expect(width("层 7")).toBe(4);
    expect(padEnd("层", 4)).toBe("层  ");
    expect(padStart("层", 4)).toBe("  层");
  });

  test("text breaks at spaces and between Chinese characters, never before punctuation", () => {
    expect(wrapText("one two three", 7)).toEqual(["one two", "three"]);
    expect(wrapText("噪声基底，先验", 8)).toEqual(["噪声基", "底，先验"]);
    expect(wrapText("", 8)).toEqual([""]);
    expect(wrapText("unbreakable", 4)).toEqual(["unbreakable"]);
  });
});

describe("curves", () => {
  test("a logarithmic scale from lowest to highest glyph", () => {
    const curve = [1e-4, 1e-3, 1e-2, 1e-1];
    const scale = commonScale([curve]);
    expect(scale).toEqual({ low: 1e-4, high: 1e-1 });
    expect(scale === null ? "" : sparkline(curve, scale, 10, false)).toBe("▁▃▆█");
  });

  test("gaps, zeros and what is no number", () => {
    const scale = { low: 1, high: 10 };
    expect(sparkline([null, 0, Number.NaN, Number.POSITIVE_INFINITY, 10], scale, 10, true)).toBe(
      " _!!#",
    );
    expect(commonScale([[null, 0, Number.NaN]])).toBeNull();
  });

  test("more layers than columns: each glyph is the largest of its run", () => {
    const curve = Array.from({ length: 100 }, (_, i) => (i === 57 ? 10 : 1));
    expect(sparkline(curve, { low: 1, high: 10 }, 10, true)).toBe("_____#____");
  });
});

test("names that differ stay different however narrow the column", () => {
  const names = Array.from(
    { length: 12 },
    (_, i) => `${"block.".repeat(20)}${i}${".end".repeat(9)}`,
  );
  const fitted = fitNames(names, names, 14, "…");
  expect(new Set(fitted).size).toBe(names.length);
  expect(fitted.filter((name) => width(name) > 14)).toEqual([]);
});
