import { describe, expect, it } from "vitest";
import { escapeMarkdown, escapeText } from "../../src/core/escape.ts";

describe("escapeText", () => {
  it("leaves what can be seen", () => {
    const text = 'layers.0.mlp — 第七层 "é" 😀 C:\\dumps';
    expect(escapeText(text)).toBe(text);
    expect(escapeText("")).toBe("");
  });

  it.each([
    ["\u001b[31mred\u0007", "\\x1b[31mred\\x07"],
    ["a\r\nb\tc", "a\\r\\nb\\tc"],
    ["\u0085\u009b31m\u007f\u0000", "\\x85\\x9b31m\\x7f\\x00"],
    ["abc\u202egnp.exe", "abc\\u202egnp.exe"],
    ["\u2066x\u2069", "\\u2066x\\u2069"],
    ["a\u200bb\u200d\ufeff\u2060", "a\\u200bb\\u200d\\ufeff\\u2060"],
    ["\u2028\u2029", "\\u2028\\u2029"],
    ["\ud800x\udc00", "\\ud800x\\udc00"],
    ["\u{e0041}", "\\u{e0041}"],
    ["\u3164\u115f", "\\u3164\\u115f"],
  ])("escapes %j", (text, expected) => {
    expect(escapeText(text)).toBe(expected);
  });

  it("never lets a character through that Unicode calls control, format or separator", () => {
    const leaks: string[] = [];
    for (let code = 0; code <= 0x10ffff; code++) {
      const shown = escapeText(String.fromCodePoint(code));
      if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(shown)) {
        leaks.push(code.toString(16));
      }
    }
    expect(leaks).toEqual([]);
  });

  it("keeps both ends of a long text", () => {
    const name = `model.${"x".repeat(500)}.weight`;
    const shown = escapeText(name, 21);
    expect(shown).toBe("model.xxxx…xxx.weight");
    expect(escapeText("a".repeat(21), 21)).toBe("a".repeat(21));
    expect(escapeText("a".repeat(22), 21)).toHaveLength(21);
  });

  it("cuts no escape and no character in half, and a long text costs no more than a short one", () => {
    for (const most of [3, 4, 10, 50, 51]) {
      const shown = escapeText("\u{1f600}\u001b".repeat(30_000), most);
      expect(shown.length).toBeLessThanOrEqual(most);
      expect(shown.replaceAll("\\x1b", "").replaceAll("\u{1f600}", "")).toBe("…");
    }
    const started = performance.now();
    escapeText("\u202e".repeat(50_000_000));
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe("escapeMarkdown", () => {
  it.each([
    "pass@2",
    "#7",
    "issue #7 by @all",
    "&#64;",
    "&amp; <b>",
    "https://www.a.b/#1",
    "a_b|c `d`",
  ])("shows %j as it is", (text) => {
    const escaped = escapeMarkdown(text);
    // What CommonMark makes of backslashes and of references to characters.
    const shown = escaped.replace(
      /\\([!-/:-@[-`{-~])|&#(\d+);|&(amp|lt);/g,
      (_, punctuation?: string, code?: string, name?: string) =>
        punctuation ??
        (name === undefined
          ? String.fromCodePoint(Number(code))
          : ({ amp: "&", lt: "<" }[name] ?? "")),
    );
    expect(shown).toBe(text);
    expect(escaped).not.toMatch(/@|<|:\/\/|www\.|(?<!&)#\d/);
  });
});
