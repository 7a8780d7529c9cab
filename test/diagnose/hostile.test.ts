/** Whatever a specimen holds, an answer comes back: a known cause or none, and a number that is one. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { CAUSES, causeMessage, isCauseId } from "../../src/diagnose/cause-texts/index.ts";
import { classify } from "../../src/diagnose/causes/index.ts";
import type { Specimen } from "../../src/measure/specimen.ts";
import { rowErrors } from "./specimens.ts";

const value = fc.oneof(
  { weight: 4, arbitrary: fc.double({ min: -4, max: 4, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1e-320, 1e300, -1e300, 65504, 1) },
);
const anyValue = fc.oneof(
  { weight: 8, arbitrary: value },
  fc.constantFrom(NaN, Infinity, -Infinity),
);
const floor = fc.option(
  fc.record({ median: fc.constantFrom(0, 1e-9, 0.003, 1), q99: fc.constantFrom(0, 0.01, 5) }),
);

const specimens = fc
  .record({
    rows: fc.integer({ min: 1, max: 30 }),
    width: fc.integer({ min: 1, max: 40 }),
    dtype: fc.constantFrom("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"),
    floor,
    samples: fc.integer({ min: 1, max: 30 }),
    finite: fc.boolean(),
    likeness: fc.constantFrom("none", "same", "rows", "zero"),
  })
  .chain(({ rows, width, dtype, floor: found, samples, finite, likeness }) =>
    fc
      .tuple(
        fc.array(finite ? value : anyValue, { minLength: rows * width, maxLength: rows * width }),
        fc.array(value, { minLength: rows * width, maxLength: rows * width }),
      )
      .map(([given, known]): Specimen => {
        const r = Float64Array.from(known, (one, i) => {
          if (likeness === "zero") return 0;
          return likeness === "rows" ? (known[i % width] ?? 0) : one;
        });
        const x = likeness === "same" ? r.slice() : Float64Array.from(given);
        return {
          role: "attn",
          dtype,
          forced: true,
          rows,
          width,
          x,
          r,
          at: Array.from({ length: rows }, (_, row) => ({
            sample: Math.floor(row / samples),
            step: 0,
            token: row % samples,
          })),
          errors: rowErrors(x, r, width),
          floor: found,
        };
      }),
  );

test("no specimen breaks the causes, and what is named can be told", () => {
  fc.assert(
    fc.property(specimens, (specimen) => {
      const found = classify(specimen);
      const notFinite = specimen.x.some((one) => !Number.isFinite(one));
      if (notFinite) expect(found?.id).toBe("cause/non-finite");
      if (found === null) return;
      expect(isCauseId(found.id) && CAUSES[found.id].by).toBe("compare");
      expect(found.confidence).toBeGreaterThan(0);
      expect(found.confidence).toBeLessThanOrEqual(1);
      for (const lang of ["en", "zh"] as const) {
        if (!notFinite) expect(Object.values(found.detail)).not.toContain(Number.NaN);
        expect(causeMessage(found.id, lang, found.detail)).not.toMatch(/[{}]|undefined/);
      }
    }),
    { seed: 4, numRuns: 1500 },
  );
});
