/** `--update`: the report in the part of a Markdown file that is marked for it. */

import { chmodSync, linkSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { cli } from "../support/cli.ts";
import { scratch } from "../support/scratch.ts";
import { addNoise, toyTensors, writeToyRun } from "../support/toy-run.ts";

const { folder } = scratch();
const cwd = folder;

const BEGIN = "<!-- npu-diff:begin -->";
const END = "<!-- npu-diff:end -->";

/** A name that would end the part, if it could. */
const EVIL = `x ${END} y ${BEGIN}.arrow`;

beforeAll(() => {
  writeToyRun(join(folder, "ref.arrow"), toyTensors(), { id: "ref" });
  const noisy = toyTensors();
  addNoise(noisy, 2e-7, 1);
  writeToyRun(join(folder, EVIL), noisy, { id: `a ${END} b` });
});

const COMPARE = ["compare", "ref.arrow", EVIL, "--max-rel-l2", "0.1", "--exit-zero"];

function put(name: string, text: string | Uint8Array): string {
  writeFileSync(join(folder, name), text);
  return name;
}

function read(name: string): string {
  return readFileSync(join(folder, name), "utf8");
}

test.each([
  ["LF", "# Model\n\n", "\n\nThe end: <b>no</b> change", "\n"],
  ["CRLF and a byte order mark", "\uFEFF# 模型\r\n\r\n", "\r\nrest\r\n", "\r\n"],
  ["nothing around it", "", "", "\n"],
] as const)("replaces the part and nothing else: %s", async (name, before, after, lineEnd) => {
  const path = put(`${name}.md`, `${before}${BEGIN}${lineEnd}old${lineEnd}${END}${after}`);
  chmodSync(join(folder, path), 0o640);
  const ran = await cli([...COMPARE, "--update", path, "-o", "same.md"], { cwd });
  expect([ran.code, ran.stdout.slice(0, 4)]).not.toEqual([2, ""]);
  const text = read(path);
  expect(text.startsWith(`${before}${BEGIN}${lineEnd}`)).toBe(true);
  expect(text.endsWith(`${lineEnd}${END}${after}`)).toBe(true);
  // Whatever strangers' names hold, the markers stay two.
  expect(text.split(BEGIN)).toHaveLength(2);
  expect(text.split(END)).toHaveLength(2);
  const section = text.slice(before.length + BEGIN.length, text.length - after.length - END.length);
  expect(section.replaceAll(lineEnd, "\n").trim()).toBe(read("same.md").trim());
  expect(section.replaceAll("\r\n", "\n").includes("\r")).toBe(false);
  expect(statSync(join(folder, path)).mode & 0o777).toBe(0o640);
  await cli([...COMPARE, `--update=${path}`], { cwd });
  expect(read(path)).toBe(text);
  expect(readdirSync(folder).filter((one) => one.endsWith(".tmp"))).toEqual([]);
});

test.each([
  ["no markers", "# Model\n", "put these two lines where the report belongs"],
  ["one marker", `${BEGIN}\n`, "put these two lines where the report belongs"],
  ["twice", `${BEGIN}\n${END}\n${BEGIN}\n${END}\n`, "line 1, 3"],
  ["nested", `${BEGIN}\n${BEGIN}\n${END}\n${END}\n`, "line 3, 4"],
  ["wrong order", `${END}\n${BEGIN}\n`, "wrong order"],
  ["beside text", `See ${BEGIN}\n${END}\n`, "shares its line"],
  ["no UTF-8", Buffer.from(`\xff${BEGIN}\n${END}\n`, "latin1"), "UTF-8"],
  ["missing", null, "ENOENT"],
] as const)("refuses a file before any work: %s", async (name, text, told) => {
  const path = `${name}.refused.md`;
  if (text !== null) put(path, text);
  // The dumps are not even there.
  const ran = await cli(["compare", "a.arrow", "b.arrow", "--update", path], { cwd });
  expect([ran.code, ran.stdout]).toEqual([2, ""]);
  expect(ran.stderr).toMatch(/^error\[usage\]: /);
  expect(ran.stderr).toContain(told);
  expect(ran.stderr).toMatch(/^ {2}help: /m);
  if (text !== null) expect(readFileSync(join(folder, path))).toEqual(Buffer.from(text));
});

test("the file is neither an input nor a report of the same call", async () => {
  put("card.md", `${BEGIN}\n${END}\n`);
  linkSync(join(folder, "card.md"), join(folder, "linked.md"));
  for (const more of [
    ["-o", "linked.md"],
    ["--candidate-performance", "linked.md"],
  ]) {
    const ran = await cli([...COMPARE, "--update", "card.md", ...more], { cwd });
    expect([ran.code, ran.stdout]).toEqual([2, ""]);
    expect(ran.stderr).toContain("would replace another file");
  }
  expect(read("card.md")).toBe(`${BEGIN}\n${END}\n`);
});

test("a folder is no Markdown file, and the option needs a value", async () => {
  for (const last of [["--update", "."], ["--update"]]) {
    const ran = await cli([...COMPARE, ...last], { cwd });
    expect([ran.code, ran.stdout]).toEqual([2, ""]);
    expect(ran.stderr).toMatch(/^error\[usage\]: --update needs a /);
  }
});

test("task results update a file as well", async () => {
  const items = (right: number): string =>
    Array.from({ length: 40 }, (_, i) =>
      JSON.stringify({
        doc_id: i,
        doc_hash: String(i),
        prompt_hash: String(i),
        target_hash: String(i),
        arguments: {},
        resps: [["1"]],
        filtered_resps: ["1"],
        target: "1",
        filter: "none",
        metrics: ["acc"],
        acc: i < right ? 1 : 0,
      }),
    ).join("\n");
  put("samples_toy_2026-01-01T00-00-00.jsonl", items(30));
  put("samples_toy_2026-01-02T00-00-00.jsonl", items(30));
  put("tasks.md", `top\n${BEGIN}\n${END}\nbottom\n`);
  const ran = await cli(
    [
      "eval",
      "samples_toy_2026-01-01T00-00-00.jsonl",
      "samples_toy_2026-01-02T00-00-00.jsonl",
      "--update",
      "tasks.md",
      "-o",
      "tasks-whole.md",
      "--exit-zero",
    ],
    { cwd },
  );
  expect([ran.code, ran.stderr]).toEqual([0, ""]);
  const whole = read("tasks-whole.md");
  expect(whole).toContain("75.00 %");
  expect(read("tasks.md")).toBe(`top\n${BEGIN}\n\n${whole}\n${END}\nbottom\n`);
});
