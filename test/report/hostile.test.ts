/** Whatever a dump holds, no report lets it act: on a terminal, a page, a parser or a CI system. */

import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { renderCsv } from "../../src/report/csv.ts";
import { renderGithub } from "../../src/report/github.ts";
import { renderJson } from "../../src/report/json.ts";
import { renderJunit } from "../../src/report/junit.ts";
import { renderMarkdown } from "../../src/report/markdown.ts";
import { renderNotices } from "../../src/report/notices.ts";
import { renderSarif } from "../../src/report/sarif.ts";
import { PLAIN } from "../../src/report/style.ts";
import { renderText } from "../../src/report/text.ts";
import { commandsIn, readReports } from "../support/read-reports.ts";
import { scratch } from "../support/scratch.ts";
import { HOSTILE_TEXTS, hostileResult } from "./hostile.ts";

const { folder } = scratch();
const CASES = Object.entries(HOSTILE_TEXTS).map(
  ([name, text]) => [name, hostileResult(text), text] as const,
);
const SARIF = { version: "1.2.3", exitCode: 1 };
const TAME = hostileResult("tame");

/** Everything that is no character to see, but line feeds: Unicode's «other» and its separators of lines. */
const INVISIBLE = /[^\P{C}\n]|[\u2028\u2029]/u;

const file = (name: string): string => name.replaceAll(" ", "-");
const readings = readReports(
  join(folder, "reports"),
  Object.fromEntries(
    [...CASES, ["tame", TAME] as const].flatMap(([name, result]) => [
      [`${file(name)}.xml`, renderJunit(result)],
      [`${file(name)}.sarif`, renderSarif(result, SARIF)],
      [`${file(name)}.md`, renderMarkdown(result, { lang: "en" })],
      [`${file(name)}-zh.md`, renderMarkdown(result, { lang: "zh" })],
    ]),
  ),
);

describe.each(CASES)("%s", (name, result, text) => {
  test.each([
    ["en", 80, false],
    ["zh", 80, false],
    ["en", 40, true],
    ["zh", 200, true],
  ] as const)("text in %s, %i columns", (lang, columns, ascii) => {
    const shown = renderText(result, { lang, columns, ascii, style: PLAIN });
    expect(shown).not.toMatch(INVISIBLE);
    expect(commandsIn(shown)).toEqual([]);
    expect(shown.length).toBeLessThan(40_000);
    const notices = renderNotices(result, { lang, style: PLAIN });
    expect(notices).not.toMatch(INVISIBLE);
    expect(commandsIn(notices)).toEqual([]);
  });

  test("JSON holds the very text, and shows none of it raw", () => {
    const shown = renderJson(result);
    expect(shown).not.toMatch(INVISIBLE);
    expect(commandsIn(shown)).toEqual([]);
    const back = JSON.parse(shown) as typeof result;
    expect(back.origin?.tensor).toBe(`layers.7.${text}`);
    expect(back.inputs.candidate.file).toBe(text);
  });

  test.each(["", "-zh"])("Markdown%s renders as that of a tame result", (suffix) => {
    const shown = readings[`${file(name)}${suffix}.md`];
    expect(shown?.kinds).toEqual(readings[`tame${suffix}.md`]?.kinds);
    const tags = (html: string | undefined): readonly string[] => html?.match(/<[^>]*>/g) ?? [];
    expect(tags(shown?.html)).toEqual(tags(readings[`tame${suffix}.md`]?.html));
    const source = renderMarkdown(result, { lang: suffix === "" ? "en" : "zh" });
    expect(source).not.toMatch(INVISIBLE);
    expect(source).not.toMatch(/:\/\/|www\.|[^&]#\d|@/);
    expect(commandsIn(source)).toEqual([]);
  });

  test("JUnit XML has the tests of a tame result", () => {
    const shown = readings[`${file(name)}.xml`];
    const tame = readings["tame.xml"];
    expect(shown?.rejected).toEqual([]);
    expect(shown?.cases.map((one) => [one.suite, one.result])).toEqual(
      tame?.cases.map((one) => [one.suite, one.result]),
    );
    const source = renderJunit(result);
    expect(source).not.toMatch(INVISIBLE);
    expect(commandsIn(source)).toEqual([]);
  });

  test("CSV has the rows and columns of a tame result, and no formula", () => {
    const source = renderCsv(result);
    const lines = source.split("\r\n");
    expect(lines.length).toBe(renderCsv(TAME).split("\r\n").length);
    expect(lines.join("\n")).not.toMatch(INVISIBLE);
    expect(commandsIn(source)).toEqual([]);
    for (const line of lines.slice(1, -1)) {
      // Commas and quotes in quotes are none to a parser.
      const cells = line.replaceAll(/"(?:[^"]|"")*"/g, "text").split(",");
      expect(cells.length).toBe(lines[0]?.split(",").length);
    }
  });

  test("the SARIF log is valid and links to nothing", () => {
    expect(readings[`${file(name)}.sarif`]?.rejected).toEqual([]);
    const source = renderSarif(result, SARIF);
    expect(source).not.toMatch(INVISIBLE);
    expect(commandsIn(source)).toEqual([]);
    const messages = [...source.matchAll(/"text": (".*")/g)].map(
      ([, quoted = ""]) => JSON.parse(quoted) as string,
    );
    expect(messages.length).toBeGreaterThan(30);
    expect(messages.filter((one) => /(?<!\\)\]\(/.test(one))).toEqual([]);
  });

  test("there are no workflow commands but those of a tame result", () => {
    const commands = commandsIn(renderGithub(result, { lang: "en" }));
    const levels = commands.map((one) => one.split(" ")[0]);
    const tame = commandsIn(renderGithub(TAME, { lang: "en" }));
    expect(levels).toEqual(tame.map((one) => one.split(" ")[0]));
    expect(renderGithub(result, { lang: "en" })).not.toMatch(INVISIBLE);
  });
});
