import { describe, expect, test } from "vitest";
import { RULE_IDS, RULES } from "../../src/judge/rules.ts";
import { renderEntry } from "../../src/report/explain.ts";
import { findingMessage } from "../../src/report/finding-text.ts";
import { PLAIN } from "../../src/report/style.ts";
import { width } from "../../src/report/table.ts";
import { finding } from "./results.ts";

function placeholders(message: string): readonly string[] {
  return [...message.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "").sort();
}

describe.each(RULE_IDS)("%s", (id) => {
  const rule = RULES[id];

  test("names only facts that its findings carry, the same in both languages", () => {
    const facts = ["sample", ...(rule.unit === null ? [] : ["value", "limit"]), ...rule.detail];
    expect(placeholders(rule.en.message).filter((name) => !facts.includes(name))).toEqual([]);
    expect(placeholders(rule.zh.message)).toEqual(placeholders(rule.en.message));
  });

  test("fills every fact in", () => {
    const shown = finding(id, {
      value: 2,
      limit: 1,
      sample: 4,
      detail: Object.fromEntries(rule.detail.map((name) => [name, "fact"])),
    });
    for (const lang of ["en", "zh"] as const) {
      expect(findingMessage(shown, lang)).not.toMatch(/[{}]|^-| - /);
    }
  });

  test("counts one in the singular", () => {
    const counts = new Set(["samples", "keywords", "padding"]);
    const detail = Object.fromEntries(
      rule.detail.map((name) => [name, counts.has(name) ? 1 : "fact"]),
    );
    const shown = findingMessage(finding(id, { value: 1, limit: 0, sample: 7, detail }), "en");
    expect(shown).not.toMatch(/[{}|]/);
    expect(shown).not.toMatch(/\b1 (?!is\b|nats\b)[a-z]+s\b/);
  });

  test.each(["en", "zh"] as const)("is explained in %s within 80 columns", (lang) => {
    const text = renderEntry({ kind: "rule", ...rule }, { lang, style: PLAIN, columns: 80 });
    expect(text.split("\n").filter((line) => width(line) > 80)).toEqual([]);
    expect(text.startsWith(`${id}  `)).toBe(true);
    expect(/\p{Script=Han}/u.test(text)).toBe(lang === "zh");
    // Full-width punctuation belongs after Chinese words.
    expect(text).not.toMatch(/\p{Script=Han}[,;:]/u);
  });
});

test("a finding of an unknown rule is named, not hidden", () => {
  expect(findingMessage(finding("later/rule"), "en")).toBe("later/rule");
});
