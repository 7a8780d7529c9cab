import { describe, expect, it } from "vitest";
import { matchesAny, tensorName } from "../../src/dump/contract.ts";

describe("tensorName", () => {
  it.each([
    ["embed", "embed", null],
    ["layers.0", "layer", 0],
    ["layers.29.attn", "attn", 29],
    ["layers.7.mlp", "mlp", 7],
    ["layers.999999999.router", "router", 999999999],
    ["norm", "norm", null],
    ["logits", "logits", null],
  ] as const)("knows %s", (name, role, layer) => {
    expect(tensorName(name)).toEqual({ role, layer });
  });

  it.each([
    "layers.01",
    "layers.-1",
    "layers.1.attn.q_proj",
    "layers.1.mlp#1",
    "layers.1.",
    "layers.1\n",
    "layers.9999999999",
    "model.layers.1",
    "Logits",
    "__proto__",
    "",
  ])("takes %j for another name", (name) => {
    expect(tensorName(name)).toEqual({ role: "other", layer: null });
  });
});

/** The same globs by definition: `*` is any run of characters. Slow, and obviously right. */
function matchesByDefinition(glob: string, name: string): boolean {
  if (glob === "") return name === "";
  if (!glob.startsWith("*")) {
    const same = name !== "" && glob.startsWith(name.charAt(0));
    return same && matchesByDefinition(glob.slice(1), name.slice(1));
  }
  return (
    matchesByDefinition(glob.slice(1), name) ||
    (name !== "" && matchesByDefinition(glob, name.slice(1)))
  );
}

/** All words of up to `length` letters out of `letters`. */
function words(letters: string, length: number): string[] {
  const all = [""];
  for (let from = 0, n = 0; n < length; n++) {
    const to = all.length;
    for (; from < to; from++) for (const letter of letters) all.push(`${all[from]}${letter}`);
  }
  return all;
}

describe("matchesAny", () => {
  it("takes * for any characters and everything else for itself", () => {
    expect(matchesAny(["layers.*"], "layers.3.attn")).toBe(true);
    expect(matchesAny(["layers.*.attn"], "layers.3.x.attn")).toBe(true);
    expect(matchesAny(["embed", "norm"], "norm")).toBe(true);
    expect(matchesAny(["layers.?"], "layers.3")).toBe(false);
    expect(matchesAny(["layers.[0-9]", ".*", "(a+)+"], "layers.3")).toBe(false);
    expect(matchesAny(["layers"], "layers.3")).toBe(false);
    expect(matchesAny(["*\n*"], "a\nb")).toBe(true);
    expect(matchesAny([], "a")).toBe(false);
  });

  it("agrees with the definition on every glob of up to 4 letters and name of up to 5", () => {
    const wrong: string[] = [];
    for (const glob of words("ab*", 4)) {
      for (const name of words("ab", 5)) {
        if (matchesAny([glob], name) !== matchesByDefinition(glob, name)) {
          wrong.push(`${glob} ${name}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it("takes hostile globs in its stride", () => {
    const started = performance.now();
    expect(matchesAny([`${"a*".repeat(20_000)}b`], "a".repeat(60_000))).toBe(false);
    expect(matchesAny([`${"*a".repeat(20_000)}*c*`], "a".repeat(60_000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
