/** However a run ends, its status is honest and nothing is left behind. */

import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { cli, ended, MAIN, startCli, withRun } from "../support/cli.ts";
import { scratch } from "../support/scratch.ts";
import { addNoise, toyTensors, writeToyRun } from "../support/toy-run.ts";

const files = scratch();
const { folder } = files;

beforeAll(() => {
  writeToyRun(join(folder, "ref.arrow"), toyTensors(), { id: "ref" });
  const tensors = toyTensors();
  addNoise(tensors, 1e-6, 1);
  writeToyRun(join(folder, "cand.arrow"), tensors, { id: "cand" });
});

/** Environment in which the worker runs `source` instead of the commands. */
function replacing(source: string, options = ""): Record<string, string> {
  return { NODE_OPTIONS: withRun(files.file(source, ".mjs")) + options };
}

const THREE_PARTS = /^error\[[a-z-]+\]: .+\n( {2}\S+ +\S.*\n)+ {2}help: .+\n$/;

describe("a worker that does not earn a status", () => {
  test.each<[string, string, string]>([
    ["throws", "export const run = async () => { throw new Error('boom'); }", "internal"],
    ["throws no error", "export const run = async () => { throw 7; }", "internal"],
    [
      "throws in a callback",
      "export const run = () => new Promise(() => setTimeout(() => { throw new Error('boom'); }, 5));",
      "internal",
    ],
    [
      "rejects unheard",
      "export const run = () => new Promise(() => { void Promise.reject(new Error('boom')); });",
      "internal",
    ],
    ["never settles", "export const run = () => new Promise(() => undefined);", "internal"],
    ["does not load", "export const run = ;", "internal"],
    ["exits with 0", "export const run = () => process.exit(0);", "worker-died"],
    [
      "exits later",
      "export const run = () => new Promise(() => setTimeout(() => process.exit(0), 5));",
      "worker-died",
    ],
    [
      "runs out of memory",
      "export const run = async () => { const a = []; for (;;) a.push({ n: a.length, s: `s${a.length}` }); };",
      "out-of-memory",
    ],
  ])("%s", async (_name, source, id) => {
    // A heap that is soon full.
    const env = replacing(source, " --max-old-space-size=40");
    const { code, stdout, stderr } = await cli(["compare", "a", "b"], { env });
    expect(stderr).toMatch(THREE_PARTS);
    expect(stderr).toContain(`error[${id}]`);
    expect([code, stdout]).toEqual([2, ""]);
  });

  test("a hook that ends worker threads", async () => {
    const hook = files.file(
      "if (!require('node:worker_threads').isMainThread) process.exit(0);",
      ".cjs",
    );
    const { code, stdout, stderr } = await cli(["compare", "ref.arrow", "cand.arrow"], {
      cwd: folder,
      env: { NODE_OPTIONS: `--require ${hook}` },
    });
    expect(stderr).toMatch(/^error\[worker-died\]/);
    expect([code, stdout]).toEqual([2, ""]);
  });

  test("a helper thread that dies in the middle of its work", async () => {
    // Two threads measure dumps of this size.
    const big = files.path();
    const values = Float32Array.from({ length: 2 ** 24 + 2 ** 21 }, (_, i) => i % 1000);
    const tensor = { name: "layers.0", sample: 0, step: 0, shape: [2 ** 10, 18 * 2 ** 10], values };
    writeToyRun(big, [tensor], { id: "big" });
    const hook = files.file(
      `const fs = require('node:fs');
       const { threadId } = require('node:worker_threads');
       const read = fs.readSync;
       const word = new Int32Array(new SharedArrayBuffer(4));
       let reads = 0;
       // The first thread takes its time, so that the second has something to die of.
       const slow = (...args) => (Atomics.wait(word, 0, 0, 2), read(...args));
       const deadly = (...args) => (++reads > 3 ? process.exit(0) : read(...args));
       fs.readSync = threadId > 1 ? deadly : slow;
       require('node:module').syncBuiltinESMExports();`,
      ".cjs",
    );
    const { code, stdout, stderr } = await cli(["compare", big, big, "--jobs", "2"], {
      env: { NODE_OPTIONS: `--require ${hook}` },
    });
    expect(stderr).toMatch(THREE_PARTS);
    expect(stderr).toContain("error[worker-died]");
    expect([code, stdout]).toEqual([2, ""]);
  });

  test("what a library prints in the worker is no report", async () => {
    const source =
      "export const run = async (argv, host) => { console.log('noise'); await host.stdout.write('report\\n'); return 0; }";
    const { code, stdout, stderr } = await cli([], { env: replacing(source) });
    expect([code, stdout, stderr]).toEqual([0, "report\n", "noise\n"]);
  });

  test("a handle that stays open does not keep the process", async () => {
    const source =
      "export const run = async () => { setInterval(() => undefined, 1000); return 3; }";
    expect((await cli([], { env: replacing(source) })).code).toBe(3);
  });
});

describe("a real comparison in a heap that is too small", () => {
  test.each([1, 4, 8, 16])("--max-old-space-size=%i", async (megabytes) => {
    const big = files.path();
    const tensors = Array.from({ length: 20_000 }, (_, i) => ({
      name: `tensor.${"name".repeat(40)}.${i}`,
      sample: i % 2,
      step: 0,
      shape: [1, 1],
      values: Float32Array.of(i + 1),
    }));
    if (!existsSync(big)) writeToyRun(big, tensors, { id: "big" });
    const output = files.path(".json");
    const { code, signal, stdout, stderr } = await cli(["compare", big, big, "-o", output], {
      env: { NODE_OPTIONS: `--max-old-space-size=${megabytes}` },
    });
    // Either it says so, or V8 ends the process by a signal; never a verdict.
    if (signal === null) {
      expect(stderr).toMatch(/^error\[out-of-memory\]/);
      expect(code).toBe(2);
    } else {
      expect(["SIGABRT", "SIGTRAP", "SIGILL"]).toContain(signal);
    }
    expect(stdout).toBe("");
    expect(existsSync(output)).toBe(false);
  });
});

describe("closed and full streams", () => {
  const endless =
    "export const run = async (argv, host) => { for (let i = 0; i < 200; i += 1) await host.stdout.write('x'.repeat(65536) + '\\n'); return 1; }";

  test("a reader that stops reading ends it quietly, with the status it earned", async () => {
    const child = startCli([], { env: replacing(endless) });
    child.stdout?.once("data", () => child.stdout?.destroy());
    let stderr = "";
    child.stderr?.on("data", (text: Buffer) => {
      stderr += text.toString();
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect([code, stderr]).toEqual([1, ""]);
  });

  test("a real report into head", async () => {
    const shell = spawn(
      "bash",
      [
        "-c",
        `"$0" "$1" compare ref.arrow cand.arrow --json | head -1; echo "\${PIPESTATUS[0]}"`,
        process.execPath,
        MAIN,
      ],
      { cwd: folder },
    );
    const { stdout, stderr } = await ended(shell);
    expect(stdout).toMatch(/^\{\n[01]\n$/);
    expect(stderr).toBe("");
  });

  test("a slow reader gets everything, and nothing piles up", async () => {
    const source =
      "export const run = async (argv, host) => { for (let i = 0; i < 64; i += 1) await host.stdout.write(String(i % 10).repeat(65536)); return 0; }";
    const child = startCli([], { env: replacing(source) });
    let bytes = 0;
    child.stdout?.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      child.stdout?.pause();
      setTimeout(() => child.stdout?.resume(), 2);
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect([code, bytes]).toEqual([0, 64 * 65536]);
  });

  test("text is not torn where it is cut into pieces", async () => {
    const source =
      "export const run = async (argv, host) => { await host.stdout.write('a' + '😀'.repeat(50000)); return 0; }";
    const { stdout } = await cli([], { env: replacing(source) });
    expect(stdout).toBe(`a${"😀".repeat(50_000)}`);
  });

  test.skipIf(!existsSync("/dev/full"))(
    "a full disk is an error, and no file is written",
    async () => {
      const full = openSync("/dev/full", "w");
      const output = files.path(".json");
      const child = startCli(["compare", "ref.arrow", "cand.arrow", "-o", output], {
        cwd: folder,
        stdio: ["ignore", full, "pipe"],
      });
      const { code, stderr } = await ended(child);
      closeSync(full);
      expect(stderr).toMatch(/^error\[output-unwritable\]/);
      expect(code).toBe(2);
      expect(existsSync(output)).toBe(false);
    },
  );
});

describe("interrupted", () => {
  /** Announces and makes a temporary file, says so, then does not end by itself. */
  const busy = (then: string): string => `
    import { writeFileSync } from "node:fs";
    export const run = async (argv, host) => {
      const path = argv[0];
      host.temporary(path);
      writeFileSync(path, "half a report");
      await host.stderr.write("ready\\n");
      ${then}
    };`;

  test.each<[string, NodeJS.Signals, string]>([
    ["while it waits", "SIGINT", "await new Promise(() => setInterval(() => undefined, 1000));"],
    ["while it computes", "SIGTERM", "for (;;);"],
    [
      "while it is inside a system call",
      "SIGINT",
      "(await import('node:fs')).readSync(0, Buffer.alloc(1));",
    ],
  ])("%s, by %s", async (_name, signal, then) => {
    const temporary = files.path(".tmp");
    const child = startCli([temporary], {
      env: replacing(busy(then)),
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stderr?.once("data", () => {
      // By then it is where the case wants it.
      setTimeout(() => child.kill(signal), 300);
    });
    const { code, signal: died, stderr } = await ended(child);
    expect(stderr).toMatch(
      new RegExp(`^ready\nerror\\[interrupted\\]: .*\n {2}signal {2}${signal}\n`),
    );
    // A shell calls the end by SIGINT 130 too.
    expect(code ?? died).toBe(code === null ? "SIGINT" : 130);
    expect(existsSync(temporary)).toBe(false);
  });

  test("a temporary file goes when the worker dies", async () => {
    const temporary = files.path(".tmp");
    const { code } = await cli([temporary], { env: replacing(busy("process.exit(0);")) });
    expect(code).toBe(2);
    expect(existsSync(temporary)).toBe(false);
  });
});
