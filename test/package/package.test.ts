/**
 * The package as npm packs it: what is in it, whether resolvers and compilers understand it, and
 * whether it works where nothing else is installed. Installing asks npm for the dependencies, of its
 * cache first.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { beforeAll, describe, expect, test } from "vitest";
import { scratch } from "../support/scratch.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PAIRS = join(ROOT, "fixtures", "pairs");
const PACKAGE = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
};
const { folder } = scratch();

/** Without what a test run puts into the environment of npm. */
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^npm_(?:package|lifecycle|command|node)/.test(name),
  ),
);

interface Packed {
  readonly filename: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

function pack(): Packed {
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", folder];
  const text = execFileSync("npm", args, {
    cwd: ROOT,
    env: ENVIRONMENT,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  // Newer versions of npm give an object by package name in the place of a list.
  const [packed] = Object.values(JSON.parse(text) as Readonly<Record<string, Packed>>);
  if (packed === undefined) throw new Error("nothing was packed");
  return packed;
}

let packed: Packed;
let tarball: string;

beforeAll(() => {
  packed = pack();
  tarball = join(folder, packed.filename);
});

describe("what is packed", () => {
  test("everything that is no module of the library, by name", () => {
    const modules =
      /^dist\/(?:core|dump|align|measure|judge|diagnose|report|config)\/.*(?:\.d\.ts|(?<!\/assets|\/helper)\.js)$/;
    const chunks = /^dist\/(?:cli|measure\/kernel)\/[\w-]+-[\w-]{8}\.js$/;
    const others = packed.files
      .map(({ path }) => path)
      .filter((path) => !modules.test(path) && !chunks.test(path));
    expect(others.toSorted()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "README.zh.md",
      "dist/LICENSES.txt",
      "dist/check.d.ts",
      "dist/check.js",
      "dist/cli/main.js",
      "dist/cli/run-worker.js",
      "dist/compare-task-results.d.ts",
      "dist/compare-task-results.js",
      "dist/compare.d.ts",
      "dist/compare.js",
      "dist/core.d.ts",
      "dist/core.js",
      "dist/index.d.ts",
      "dist/index.js",
      "dist/measure/kernel/helper.js",
      "dist/measure/kernel/kernel.wasm",
      "dist/report/html/assets.js",
      "docs/README.md",
      "docs/comparing.md",
      "docs/eval.md",
      "docs/formats.md",
      "docs/library.md",
      "docs/speed.md",
      "docs/trust.md",
      "package.json",
      "schema/baseline.schema.json",
      "schema/check.schema.json",
      "schema/config.schema.json",
      "schema/inspect-tensor.schema.json",
      "schema/map.schema.json",
      "schema/result.schema.json",
      "schema/task-results.schema.json",
    ]);
  });

  test("no sources, maps, tests or fixtures, and every module with its types", () => {
    const paths = new Set(packed.files.map(({ path }) => path));
    const strange = [...paths].filter((path) =>
      /(?<!\.d)\.ts$|\.map$|\.arrow$|\.css$|(?:^|\/)(?:src|test|fixtures|client|assembly)\//.test(
        path,
      ),
    );
    expect(strange).toEqual([]);
    const library = [...paths].filter(
      (path) =>
        /^dist\/.*\.js$/.test(path) &&
        !/^dist\/cli\/|-[\w-]{8}\.js$|\/(?:assets|helper)\.js$/.test(path),
    );
    expect(library.length).toBeGreaterThan(200);
    expect(library.filter((path) => !paths.has(path.replace(/js$/, "d.ts")))).toEqual([]);
    expect(packed.unpackedSize).toBeLessThan(6e6);
  });
});

test("publint finds nothing, strictly", async () => {
  const bytes = readFileSync(tarball);
  const { messages } = await publint({
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) },
    strict: true,
  });
  expect(messages.map((message) => formatMessage(message, PACKAGE))).toEqual([]);
});

test("its types resolve as its modules do, from ES modules and for bundlers", () => {
  const attw = join(ROOT, "node_modules", "@arethetypeswrong", "cli", "dist", "index.js");
  const { stdout, status } = spawnSync(
    process.execPath,
    [attw, tarball, "--profile", "esm-only", "--no-definitely-typed", "--format", "json"],
    { encoding: "utf8", env: ENVIRONMENT },
  );
  const { analysis } = JSON.parse(stdout) as {
    readonly analysis: {
      readonly entrypoints: Readonly<
        Record<
          string,
          {
            readonly resolutions: Readonly<
              Record<string, { readonly resolution?: { readonly fileName: string } }>
            >;
          }
        >
      >;
    };
  };
  expect(status, stdout.slice(0, 2000)).toBe(0);
  const types = (entry: string, kind: string): string | undefined =>
    analysis.entrypoints[entry]?.resolutions[kind]?.resolution?.fileName;
  for (const kind of ["node16-esm", "bundler"]) {
    expect(types(".", kind)).toBe("/node_modules/npu-diff/dist/index.d.ts");
    expect(types("./core", kind)).toBe("/node_modules/npu-diff/dist/core.d.ts");
  }
});

describe("installed by itself", () => {
  let home: string;

  beforeAll(() => {
    home = join(folder, "home");
    mkdirSync(home);
    writeFileSync(join(home, "package.json"), '{ "private": true, "type": "module" }');
    const quiet = [
      "--ignore-scripts",
      "--omit=optional",
      "--no-audit",
      "--no-fund",
      "--prefer-offline",
    ];
    execFileSync("npm", ["install", ...quiet, tarball], {
      cwd: home,
      env: ENVIRONMENT,
      stdio: "pipe",
    });
  }, 120_000);

  /** The program that npm has linked. */
  function npuDiff(...args: readonly string[]): {
    readonly code: number | null;
    readonly text: string;
  } {
    const env = Object.fromEntries(
      Object.entries(ENVIRONMENT).filter(
        ([name]) => !/^(?:NPU_DIFF_|GITHUB_|VITEST|NODE_OPTIONS$)/.test(name),
      ),
    );
    const npx = ["--no", "--", "npu-diff", ...args];
    const { status, stdout } = spawnSync("npx", npx, { cwd: home, env, encoding: "utf8" });
    return { code: status, text: stdout };
  }

  test("brings its dependencies, and no runtime of other people's models", () => {
    const lock = JSON.parse(readFileSync(join(home, "package-lock.json"), "utf8")) as {
      readonly packages: Readonly<Record<string, { readonly hasInstallScript?: boolean }>>;
    };
    const names = Object.keys(lock.packages).map((path) => path.replace("node_modules/", ""));
    expect(names).toEqual(expect.arrayContaining(Object.keys(PACKAGE.dependencies)));
    expect(names.filter((name) => name.startsWith("onnxruntime"))).toEqual([]);
    expect(Object.values(lock.packages).filter((one) => one.hasInstallScript === true)).toEqual([]);
  });

  test("the command runs, with the exit codes of the verdicts", () => {
    expect(npuDiff("--version")).toEqual({ code: 0, text: `npu-diff ${PACKAGE.version}\n` });
    const pair = (name: string): readonly string[] => [
      join(PAIRS, "clean", "reference.arrow"),
      join(PAIRS, name, "candidate.arrow"),
      "--floor",
      join(PAIRS, "clean", "floor.arrow"),
    ];
    const clean = npuDiff("compare", ...pair("clean"), "-o", "report.html");
    expect(clean).toMatchObject({ code: 0, text: expect.stringMatching(/^PASS/) as string });
    expect(readFileSync(join(home, "report.html"), "utf8")).toMatch(/<\/html>\n$/);
    const broken = npuDiff("compare", ...pair("residual-skip"));
    expect(broken).toMatchObject({ code: 1, text: expect.stringMatching(/^FAIL/) as string });
  });

  test("the library is imported, with its types alone", () => {
    const code = `import { compareDumps, readTensor, type ComparisonResult } from "npu-diff";
import { renderText } from "npu-diff/core";
import schema from "npu-diff/schema/result.schema.json" with { type: "json" };

const [reference = "", candidate = ""] = [${JSON.stringify(join(PAIRS, "clean", "reference.arrow"))}, ${JSON.stringify(join(PAIRS, "new-nan", "candidate.arrow"))}];
const result: ComparisonResult = await compareDumps({ reference, candidate });
export const facts: readonly unknown[] = [result.verdict, result.origin?.tensor, typeof readTensor, schema.title];
export const text: string = renderText(result);
// @ts-expect-error a misspelt option is an error of the types
await compareDumps({ reference, candidate, floor: [] }).catch(() => null);
`;
    writeFileSync(join(home, "use.ts"), code);
    // Of the surroundings nothing is known: neither Node.js nor a browser.
    const compilerOptions = {
      module: "nodenext",
      target: "es2023",
      lib: ["es2023"],
      types: [],
      strict: true,
      resolveJsonModule: true,
    };
    const config = { compilerOptions, files: ["use.ts"] };
    writeFileSync(join(home, "tsconfig.json"), JSON.stringify(config));
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
    const compiled = spawnSync(process.execPath, [tsc], { cwd: home, encoding: "utf8" });
    expect(compiled.stdout).toBe("");
    const run = 'import("./use.js").then(({ facts }) => console.log(JSON.stringify(facts)))';
    const printed = execFileSync(process.execPath, ["--no-warnings", "-e", run], {
      cwd: home,
      encoding: "utf8",
    });
    expect(JSON.parse(printed)).toEqual([
      "fail",
      "layers.2.mlp",
      "function",
      "Result of npu-diff compare",
    ]);
  });
});
