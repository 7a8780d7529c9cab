import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { fillTemplate, inPlural, placesOf } from "../../src/core/template.ts";
import { CAUSE_IDS } from "../../src/diagnose/cause-texts/ids.ts";
import { CAUSES, causeMessage, isCauseId } from "../../src/diagnose/cause-texts/index.ts";
import { RULE_IDS, RULES } from "../../src/judge/rules.ts";
import { renderEntry, renderList } from "../../src/report/explain.ts";
import { PLAIN } from "../../src/report/style.ts";
import { width } from "../../src/report/table.ts";

test("every cause that the probe knows has its texts", () => {
  const folder = fileURLToPath(new URL("../../python/src/npu_dump/hypotheses", import.meta.url));
  const ids = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".py"))
    .flatMap((name) => readFileSync(join(folder, name), "utf8").match(/cause\/[a-z-]+/g) ?? []);
  expect(new Set(ids).size).toBeGreaterThan(10);
  expect(ids.filter((id) => !isCauseId(id))).toEqual([]);
});

test("a template fills numbers, shares and texts in", () => {
  const values = { gain: 1.0095, share: 0.91234, name: "layer", many: 1234567 };
  const filled = fillTemplate("{gain:3} {gain} {share%} {name} {many}", values);
  expect(filled).toBe("1.01 1.0095 91.2 % layer 1234570");
  const forms = "{many} {many?row is|rows are} wrong";
  expect(fillTemplate(forms, values)).toBe("1234570 rows are wrong");
  expect(fillTemplate(forms, { many: 1 })).toBe("1 row is wrong");
  expect(inPlural(forms)).toBe("{many} rows are wrong");
  expect(fillTemplate("{gain} {other}", values)).toBeNull();
  expect(fillTemplate("{gain}", { gain: Number.NaN })).toBe("NaN");
  expect(fillTemplate("{toString}", {})).toBeNull();
});

describe.each(CAUSE_IDS)("%s", (id) => {
  const cause = CAUSES[id];

  test("names only facts that it carries, the same in both languages", () => {
    const places = [...placesOf(cause.en.message)].sort();
    expect(places.filter((name) => !cause.detail.includes(name))).toEqual([]);
    expect([...placesOf(cause.zh.message)].sort()).toEqual(places);
  });

  test("counts one in the singular", () => {
    const detail = Object.fromEntries(cause.detail.map((name) => [name, 1]));
    expect(causeMessage(id, "en", detail)).not.toMatch(/[{}|]|\b1 (?!times\b|is\b)[a-z]+s\b/);
  });

  test("its English is plain ASCII where reports show it", () => {
    expect(cause.en.message).toMatch(/^[\x20-\x7e]+$/);
  });

  test.each(["en", "zh"] as const)("is explained in %s within 80 columns", (lang) => {
    const text = renderEntry({ kind: "cause", ...cause }, { lang, style: PLAIN, columns: 80 });
    expect(text.split("\n").filter((line) => width(line) > 80)).toEqual([]);
    expect(text.startsWith(`${id}  ${cause[lang].title}\n`)).toBe(true);
    expect(/\p{Script=Han}/u.test(text)).toBe(lang === "zh");
    // Full-width punctuation belongs after Chinese words.
    expect(text).not.toMatch(/\p{Script=Han}[,;:]/u);
  });
});

test.each(["en", "zh"] as const)("the list in %s has a line for each id", (lang) => {
  const entries = [
    ...RULE_IDS.map((id) => ({ kind: "rule", ...RULES[id] }) as const),
    ...CAUSE_IDS.map((id) => ({ kind: "cause", ...CAUSES[id] }) as const),
  ];
  const lines = renderList(entries, { lang, style: PLAIN, columns: 80 }).trimEnd().split("\n");
  expect(lines.map((line) => line.split(" ")[0])).toEqual([...RULE_IDS, ...CAUSE_IDS]);
  expect(lines.filter((line) => width(line) > 82)).toEqual([]);
});
