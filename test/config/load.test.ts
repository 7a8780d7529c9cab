/** Configs in their three spellings, wrong and hostile ones. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { CONFIG_SCHEMA, CONFIG_SCHEMA_ID } from "../../src/config/config.ts";
import { type LoadedConfig, readConfig } from "../../src/config/load.ts";
import { resolvePairs } from "../../src/config/resolve.ts";
import { isNpuDiffError, type NpuDiffError } from "../../src/core/errors.ts";
import { publishedSchema } from "../../src/report/json.ts";
import { scratch } from "../support/scratch.ts";

const files = scratch();

function load(text: string | Uint8Array, extension = ".jsonc"): LoadedConfig {
  const path = files.path(extension);
  writeFileSync(path, text);
  return readConfig(path, files.folder);
}

function refused(text: string | Uint8Array, extension = ".jsonc"): NpuDiffError {
  try {
    load(text, extension);
  } catch (error) {
    if (isNpuDiffError(error)) return error;
    throw error;
  }
  throw new Error("it was read");
}

const PAIRS = '"pairs": {"a": {"reference": "r", "candidate": "c"}}';

test("the committed schema is the generated one", async () => {
  const schema = publishedSchema(CONFIG_SCHEMA, {
    id: CONFIG_SCHEMA_ID,
    source: "src/config/config.ts",
    title: "Config of npu-diff",
  });
  await expect(schema).toMatchFileSnapshot("../../schema/config.schema.json");
});

describe("one config, three spellings", () => {
  const spoken = {
    limits: { maxKl: 0.5 },
    rules: { "layer/floor-token": "off" },
    overrides: [{ tensors: ["*.router"], limits: { maxRelL2: 1 } }],
    pairs: { "smollm2-bf16": { reference: "r", candidate: "c", floor: ["f"] } },
  };
  const yaml = `# for all
limits: {maxKl: 5e-1}
rules:
  layer/floor-token: off
overrides:
  - tensors: ["*.router"]
    limits:
      maxRelL2: 1
pairs:
  smollm2-bf16:
    reference: r
    candidate: "c"
    floor:
      - f
`;
  const jsonc = `// for all\n${JSON.stringify(spoken, null, 2).replace(/\}\n?$/, ",}")}`;

  test.each([
    [".json", JSON.stringify(spoken, null, 2)],
    [".jsonc", jsonc],
    [".yaml", yaml],
    [".yaml", `\ufeff${yaml.replaceAll("\n", "\r\n")}`],
  ])("%s", (extension, text) => {
    const loaded = load(text, extension);
    expect(loaded.config).toEqual(spoken);
    const line = 1 + text.split("\n").findIndex((one) => one.includes("layer/floor-token"));
    expect(loaded.placeOf(["rules", "layer/floor-token"])).toMatch(new RegExp(`:${String(line)}$`));
    const validate = new Ajv2020().compile(
      JSON.parse(publishedSchema(CONFIG_SCHEMA, { id: "x", source: "", title: "" })) as object,
    );
    expect(validate(loaded.config)).toBe(true);
  });
});

describe("refused, with the line", () => {
  test.each<[string, string, string, RegExp, RegExp]>([
    [
      "unknown key",
      `{${PAIRS},\n"limit": {}}`,
      ".json",
      /:2 has an unknown key "limit"/,
      /did you mean limits\?/,
    ],
    [
      "unknown rule",
      `{${PAIRS},\n"rules": {\n"layer/flor-ratio": "off"}}`,
      ".json",
      /:3 has/,
      /layer\/floor-ratio/,
    ],
    [
      "a rule that stays",
      `{${PAIRS}, "rules": {"layer/undecided": "off"}}`,
      ".json",
      /unknown key/,
      /./,
    ],
    [
      "unknown level",
      `{${PAIRS}, "rules": {"layer/prior": "of"}}`,
      ".json",
      /wrong value/,
      /did you mean "off"\?/,
    ],
    [
      "a word for a number",
      `{${PAIRS},\n\n"limits": {"maxKl": "1"}}`,
      ".json",
      /:3 has a wrong/,
      /line 3/,
    ],
    ["a share above 1", `{${PAIRS}, "limits": {"minTop1": 2}}`, ".json", /wrong value/, /./],
    ["a negative limit", `{${PAIRS}, "limits": {"maxAbs": -1}}`, ".json", /wrong value/, /./],
    ["infinity", "limits: {maxKl: .inf}\npairs: {}", ".yaml", /:1 has a wrong value/, /./],
    ["not a number", "limits: {maxKl: .nan}\npairs: {}", ".yaml", /:1 has a wrong value/, /./],
    [
      "a limit of the whole in an override",
      `{${PAIRS}, "overrides": [{"tensors": ["a"], "limits": {"maxKl": 1}}]}`,
      ".json",
      /unknown key "maxKl"/,
      /./,
    ],
    [
      "an override of nothing",
      `{${PAIRS}, "overrides": [{"tensors": []}]}`,
      ".json",
      /wrong value/,
      /./,
    ],
    [
      "a pair without a candidate",
      '{"pairs": {"a":\n{"reference": "r"}}}',
      ".json",
      /lacks a key/,
      /./,
    ],
    [
      "a path with NUL",
      '{"pairs": {"a": {"reference": "\\u0000", "candidate": "c"}}}',
      ".json",
      /wrong value/,
      /./,
    ],
    [
      "a name that is a word of -u",
      '{"pairs": {"new": {"reference": "r", "candidate": "c"}}}',
      ".json",
      /wrong value/,
      /./,
    ],
    ["no pairs at all", "{}", ".json", /lacks a key/, /./],
    ["a list", "[]", ".json", /wrong value/, /./],
    ["nothing", "", ".json", /cannot be read/, /./],
    ["nothing in YAML", "", ".yaml", /wrong value/, /./],
    ["comments in JSON", `// no\n{${PAIRS}}`, ".json", /:1 cannot be read/, /./],
    ["a comma too many in JSON", `{${PAIRS},\n}`, ".json", /:2 cannot be read/, /./],
    ["a missing brace", `{${PAIRS}`, ".jsonc", /cannot be read/, /./],
    ["a key twice", `{${PAIRS},\n${PAIRS}}`, ".jsonc", /:2 cannot be read/, /./],
    ["a key twice in YAML", "pairs: {}\npairs: {}", ".yaml", /:2 cannot be read/, /./],
    ["an anchor", "only: &x [a]\npairs: {}", ".yaml", /:1 cannot be read/, /./],
    ["an alias", "pairs: {}\nonly: *x", ".yaml", /:2 cannot be read/, /./],
    ["a tag", "pairs: !!python/object:os.system {}", ".yaml", /cannot be read/, /./],
    ["a directive", "%TAG ! tag:x,2000:\n---\npairs: {}", ".yaml", /cannot be read/, /./],
    ["a merge key", "pairs: {}\n<<: {only: []}", ".yaml", /unknown key "<<"/, /./],
    ["two documents", "pairs: {}\n---\npairs: {}", ".yaml", /cannot be read/, /./],
    ["a list as a key", "? [a]\n: 1\npairs: {}", ".yaml", /cannot be read/, /./],
  ])("%s", (_name, text, extension, what, help) => {
    const error = refused(text, extension);
    expect(error.code).toBe("config-invalid");
    expect(error.message).toMatch(what);
    expect(error.help).toMatch(help);
  });

  test.each([["__proto__"], ["constructor"], ["toString"], ["hasOwnProperty"]])(
    "the key %s is one like any other",
    (key) => {
      for (const text of [`{${PAIRS}, "${key}": {}}`, `{${PAIRS}, "rules": {"${key}": "off"}}`]) {
        expect(refused(text).message).toContain(`unknown key ${JSON.stringify(key)}`);
      }
      expect(refused(`${key}: {}\npairs: {}`, ".yaml").message).toContain("unknown key");
    },
  );
});

describe("hostile files end at once, in an error", () => {
  const deep = (open: string, times = 50_000): string => open.repeat(times);
  const keys = Array.from({ length: 20_000 }, (_, index) => `k${String(index)}: 1`).join("\n");
  test.each<[string, string | Uint8Array, string]>([
    ["deep lists", deep("["), ".json"],
    ["deep objects", deep('{"a":'), ".jsonc"],
    ["deep flow", deep("["), ".yaml"],
    ["deep maps", deep("{a: "), ".yaml"],
    ["deep blocks", deep("- "), ".yaml"],
    ["deep keys", deep("? "), ".yaml"],
    [
      "indented keys",
      Array.from({ length: 900 }, (_, i) => `${" ".repeat(i)}a:`).join("\n"),
      ".yaml",
    ],
    ["many keys", keys, ".yaml"],
    ["many documents", deep("---\n"), ".yaml"],
    ["many quotes", deep('"'), ".yaml"],
    ["random bytes", Uint8Array.from({ length: 50_000 }, (_, i) => (i * 7919) % 251), ".yaml"],
    ["NUL", "pairs: {}\u0000", ".yaml"],
    ["too long", `{${PAIRS}}${" ".repeat(2 << 20)}`, ".json"],
  ])("%s", (_name, text, extension) => {
    const start = performance.now();
    expect(refused(text, extension).code).toBe("config-invalid");
    expect(performance.now() - start).toBeLessThan(5000);
  });

  test("a folder is no config", () => {
    expect(() => readConfig(files.folder, "/")).toThrow(/is no config/);
    expect(() => readConfig(join(files.folder, "none.json"), "/")).toThrow(/cannot be read/);
  });
});

test("every value has its origin", () => {
  const loaded = load(
    '{\n"preset": "bf16",\n"limits": {"maxKl": 1},\n"pairs": {"a": {\n"reference": "r", "candidate": "c",\n"limits": {"maxKl": 2}}}}',
  );
  const given = { preset: null, map: null, decide: "point", limits: { minTop1: 0.5 } } as const;
  const [resolved] = resolvePairs(loaded, ["a"], given, (setting) => `the call's ${setting}`);
  const origin = (key: string): unknown => {
    const found = resolved?.settings.find((one) => one.key === key);
    return [found?.value, found?.from.replace(/^.*:/, ":")];
  };
  expect(origin("preset")).toEqual(["bf16", ":2"]);
  expect(origin("limits.maxKl")).toEqual([2, ":6"]);
  expect(origin("limits.minTop1")).toEqual([0.5, "the call's minTop1"]);
  expect(origin("decide")).toEqual(["point", "the call's decide"]);
  expect(origin("skip")).toEqual([[], "default"]);
  expect(resolved?.options.limitsOfConfig).toEqual(["maxKl"]);
  expect(resolved?.options.reference).toBe(join(files.folder, "r"));
});
