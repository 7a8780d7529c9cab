/** The pages of the repository: links lead somewhere, commands exist, both languages of the front page say the same. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/commands/index.ts";
import { OPTIONS, type OptionSpec } from "../../src/cli/options.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TREES = ["docs", "bench", "fixtures"];
const PAGES = [
  ...["README.md", "README.zh.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md"],
  "python/README.md",
  ...TREES.flatMap((tree) =>
    readdirSync(join(ROOT, tree), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".md"))
      .map((path) => join(tree, path)),
  ),
];
const FENCED = /^ *```(?:.*)\n([^]*?)^ *```$/gm;

function read(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

/** What each fenced block holds. */
function blocks(page: string): readonly string[] {
  return [...read(page).matchAll(FENCED)].map(([, code = ""]) => code);
}

function withoutCode(page: string): string {
  return read(page).replaceAll(FENCED, "");
}

/** The anchors of a page's headings, as GitHub names them. */
function anchors(page: string): ReadonlySet<string> {
  const found = new Set<string>();
  for (const [, heading = ""] of withoutCode(page).matchAll(/^#+ +(.+)$/gm)) {
    const name = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}_ -]/gu, "")
      .replaceAll(" ", "-");
    let anchor = name;
    for (let again = 1; found.has(anchor); again += 1) anchor = `${name}-${again}`;
    found.add(anchor);
  }
  return found;
}

describe("links", () => {
  test.each(PAGES)("of %s lead to files and headings that there are", (page) => {
    const prose = withoutCode(page).replaceAll(/`[^`\n]*`/g, "");
    const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
    const dead = targets.filter((target) => {
      if (/^[a-z]+:/.test(target)) return false;
      const [path = "", anchor] = decodeURIComponent(target).split("#");
      const file = path === "" ? page : relative(ROOT, join(ROOT, dirname(page), path));
      if (!existsSync(join(ROOT, file))) return true;
      return anchor !== undefined && !anchors(file).has(anchor);
    });
    expect(dead).toEqual([]);
  });
});

describe("commands", () => {
  /** Every call of npu-diff in a page, continued lines joined: its words up to a comment or the end of the command. */
  function calls(page: string): readonly string[] {
    const code = blocks(page).join("\n").replaceAll("\\\n", " ");
    const inline = withoutCode(page)
      .replaceAll(/\s+/g, " ")
      .match(/`npu-diff [^`]+`/g);
    const lines = code.split("\n").map((line) => line.replace(/^[$ ]+/, ""));
    return [...lines, ...(inline ?? []).map((call) => call.slice(1, -1))]
      .filter((line) => line.startsWith("npu-diff "))
      .map((line) => line.replace(/ +#.*| [|>;&].*/, ""));
  }

  test.each(PAGES)("of npu-diff in %s take the options that they are given", (page) => {
    const unknown = calls(page).filter((call) => {
      const [, name = "", ...words] = call.split(/\s+/);
      const command = COMMANDS.find((one) => one.name === name);
      // Such as `npu-diff COMMAND --help`, and the title lines of reports.
      if (command === undefined) return /^[a-z]+$/.test(name);
      const options = ["--help", ...command.options.map((option) => `--${option}`)];
      for (const option of command.options) {
        const spec: OptionSpec = OPTIONS[option];
        if (spec.alias !== undefined) options.push(`-${spec.alias}`);
      }
      return words.some(
        (word) => word.startsWith("-") && !options.includes(word.replace(/=.*/, "")),
      );
    });
    expect(unknown).toEqual([]);
  });

  test("are found", () => {
    expect(calls("README.md").length).toBeGreaterThan(10);
    expect(calls("docs/comparing.md")).toContain(
      "npu-diff compare cpu.arrow npu.arrow --floor floor.arrow --update README.md --lang zh",
    );
  });
});

describe("the front page", () => {
  /** The cells of every table row, without the rules below the heads. */
  function rows(page: string): readonly (readonly string[])[] {
    return withoutCode(page)
      .split("\n")
      .filter((line) => line.startsWith("|") && !/^[|\s-]+$/.test(line))
      .map((line) => line.slice(1, -1).split(" | "));
  }

  /** What a text says in any language: its numbers. */
  function figures(text: string): readonly string[] {
    return (text.match(/\d[\d.,]*\d|\d/g) ?? []).toSorted();
  }

  /** Headings, by their depth alone. */
  function outline(page: string): readonly number[] {
    return [...withoutCode(page).matchAll(/^(#+) /gm)].map(([, marks = ""]) => marks.length);
  }

  test("is one in both languages: sections, commands, figures", () => {
    const [english, chinese] = ["README.md", "README.zh.md"];
    expect(outline(chinese)).toEqual(outline(english));
    const commands = (page: string): readonly string[] =>
      blocks(page).map((code) => code.replaceAll(/ +#.*/g, ""));
    expect(commands(chinese)).toEqual(commands(english));
    const cells = (page: string): unknown => rows(page).map((row) => row.map(figures));
    expect(cells(chinese)).toEqual(cells(english));
    const items = (page: string): unknown =>
      withoutCode(page)
        .match(/^- .*(?:\n {2}.*)*/gm)
        ?.map(figures);
    expect(items(chinese)).toEqual(items(english));
  });

  test("has the figures of the guides", () => {
    const whole = ["docs/trust.md", "docs/speed.md"].flatMap((page) =>
      rows(page).map((row) => row.slice(1).join(" | ")),
    );
    const section = (title: string): readonly string[] => {
      const [, text = ""] = read("README.md").split(`\n## ${title}\n`);
      const lines = (text.split("\n## ")[0] ?? "").split("\n");
      return lines.filter((line) => /^\| (?!-)/.test(line));
    };
    const shown = [...section("How far to trust it"), ...section("What it costs")];
    expect(shown.length).toBeGreaterThan(8);
    for (const row of shown)
      expect(whole).toContain(row.slice(1, -1).split(" | ").slice(1).join(" | "));
  });

  test("leads to every guide", () => {
    const guides = readdirSync(join(ROOT, "docs")).filter((name) => /^[a-z]+\.md$/.test(name));
    expect(guides.length).toBeGreaterThan(5);
    for (const page of ["README.md", "README.zh.md"]) {
      for (const guide of guides) expect(read(page)).toContain(`](docs/${guide})`);
    }
  });
});
