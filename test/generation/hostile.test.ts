/** Texts that are out to do harm, or are none. */

import { describe, expect, test } from "vitest";
import type { ComparisonResult } from "../../src/core/result.ts";
import { renderJson } from "../../src/report/json.ts";
import { renderMarkdown } from "../../src/report/markdown.ts";
import { PLAIN } from "../../src/report/style.ts";
import { width } from "../../src/report/table.ts";
import { renderText } from "../../src/report/text.ts";
import { comparer, first, INPUT } from "../support/compare-spoken.ts";
import { type Spoken } from "../support/spoken-run.ts";

const compare = comparer();

describe("hostile texts", () => {
  const EVIL =
    "\u001b[2J\u001b]0;x\u0007 \u202eevil\u2066 | `rm` <img src=x onerror=alert(1)> @all [a](http://x) www.x.org $x$ \u0000\r\n# h\n\n| a | b |";

  async function hostile(): Promise<ComparisonResult> {
    return compare(
      [{ prompt: EVIL, input: INPUT, ids: [1, 2], text: EVIL, tokenTexts: [EVIL, EVIL] }],
      [{ prompt: EVIL, input: INPUT, ids: [3, 2], text: `x${EVIL}`, tokenTexts: [EVIL, EVIL] }],
      { reference: { expect: { "0": [EVIL, "|`<b>"] } } },
    );
  }

  test("cannot act on a terminal, and stay within its width", async () => {
    const result = await hostile();
    for (const lang of ["en", "zh"] as const) {
      for (const columns of [40, 80]) {
        const text = renderText(result, { lang, style: PLAIN, ascii: false, columns });
        expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        const sides = text.split("\n").filter((line) => line.includes("▸"));
        expect(sides).toHaveLength(2);
        expect(sides.filter((line) => width(line) > columns)).toEqual([]);
      }
    }
  });

  test("open no markup in a table, link nowhere and mention nobody", async () => {
    const text = renderMarkdown(await hostile(), { lang: "zh" });
    // The report's own folds are the only markup.
    const strangers = text.replaceAll(/^<\/?details>$|^<summary>[^<]*<\/summary>$/gm, "");
    expect(strangers).not.toMatch(/<|@|:\/\/|www\./);
    expect(text).not.toMatch(/(?<!\\)[`$]/);
    expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    const rows = text.split("\n").filter((line) => line.startsWith("| 0 |"));
    expect(rows).toHaveLength(1);
    expect(rows[0]?.slice(1, -1).split(/(?<!\\)(?:\\\\)*\|/)).toHaveLength(7);
  });

  test("stay as they are in JSON", async () => {
    const document = JSON.parse(renderJson(await hostile())) as ComparisonResult;
    expect(first(document).reference?.text?.text).toBe(EVIL);
  });

  test.each([
    ["a lone surrogate", Uint8Array.of(0x61, 0xed, 0xa0, 0x80)],
    ["a character cut in two", Uint8Array.of(0xe4, 0xb8)],
    ["no UTF-8 at all", Uint8Array.of(0xff, 0xfe, 0x41)],
  ])("that are no UTF-8 are refused: %s", async (_name, bytes) => {
    const say = (text: string | Uint8Array): Spoken => ({ input: INPUT, ids: [1], text });
    await expect(compare([say("a")], [say(bytes)])).rejects.toMatchObject({
      code: "dump-corrupt",
      message: expect.stringContaining("generated_text of sample 0 is not UTF-8") as string,
    });
  });

  test("a prompt that is no UTF-8 is shown with a mark, because it decides nothing", async () => {
    const broken = { prompt: Uint8Array.of(0x61, 0xff), input: INPUT, ids: [1], text: "a" };
    expect(first(await compare([broken], [broken])).prompt?.text).toBe("a\ufffd");
  });

  test.each([
    ["no JSON", "{"],
    ["of another length", ["a"]],
    ["no texts", [1, 2]],
    ["no list", { a: 1 }],
  ])("token texts that are %s leave the ids", async (_name, tokenTexts) => {
    const say: Spoken = { input: INPUT, ids: [1, 2], tokenTexts: tokenTexts as readonly unknown[] };
    expect(first(await compare([say], [say])).reference?.firstToken).toEqual({ id: 1, text: null });
  });

  test("a text of a megabyte is compared whole and shown in part", async () => {
    const long = "漢😀a".repeat(2 ** 20 / 8);
    const say = (text: string): Spoken => ({ prompt: long, input: INPUT, text });
    const result = await compare([say(`${long}Paris`)], [say(`${long}Rome`)], {
      reference: { expect: { "0": ["Paris"] } },
    });
    const one = first(result);
    const characters = 3 * (2 ** 20 / 8);
    expect(one.divergence).toMatchObject({
      character: characters,
      shared: { omitted: characters - 40 },
      reference: { text: { text: "Paris", omitted: 0 } },
    });
    expect(one.reference).toMatchObject({
      characters: characters + 5,
      text: { omitted: characters + 5 - 200 },
    });
    expect(Array.from(one.reference?.text?.text ?? "")).toHaveLength(200);
    expect(one.keywords[0]).toMatchObject({ reference: true, candidate: false });
    expect(renderJson(result).length).toBeLessThan(12_000);
  });

  test("of a pair of surrogates neither half is shown alone", async () => {
    const say = (text: string): Spoken => ({ prompt: "p", input: INPUT, text });
    const one = first(await compare([say("a\u{1f600}")], [say("a\u{1f601}")]));
    expect(one.divergence).toMatchObject({
      character: 1,
      shared: { text: "a" },
      reference: { text: { text: "\u{1f600}" } },
      candidate: { text: { text: "\u{1f601}" } },
    });
  });
});
