import { expect, test } from "vitest";
import type { Host } from "../../src/cli/host.ts";
import { makeObserver } from "../../src/cli/progress.ts";
import { PLAIN } from "../../src/report/style.ts";
import { width } from "../../src/report/table.ts";

/** A host whose clock stands still until it is moved. */
function fakeHost(columns: number): {
  readonly host: Host;
  readonly lines: string[];
  readonly said: string[];
  readonly advance: (ms: number) => void;
} {
  const lines: string[] = [];
  const said: string[] = [];
  let now = 5000;
  const stream = { isTTY: true, columns };
  return {
    lines,
    said,
    advance(ms) {
      now += ms;
    },
    host: {
      stdout: { ...stream, write: () => Promise.resolve() },
      stderr: {
        ...stream,
        write(text) {
          said.push(text);
          return Promise.resolve();
        },
      },
      env: {},
      cwd: "/",
      now: () => now,
      status(text) {
        lines.push(text ?? "");
      },
      temporary: () => undefined,
    },
  };
}

function at(done: number): Parameters<NonNullable<ReturnType<typeof makeObserver>["progress"]>>[0] {
  return { done, total: 291, bytes: done * 1e7, totalBytes: 291e7, tensor: `layers.${done}.mlp` };
}

test("nothing for a second, then at most ten lines a second", () => {
  const { host, lines, advance } = fakeHost(100);
  const observer = makeObserver(host, { lang: "en", style: PLAIN });
  for (let i = 0; i < 3000; i += 1) {
    observer.progress?.(at(Math.floor(i / 20)));
    advance(1);
    if (i === 998) expect(lines).toEqual([]);
  }
  expect(lines).toHaveLength(20);
  expect(lines[10]).toBe(
    "measuring  100/291 tensors  1.0 GB of 2.9 GB  500 MB/s  4 s left  layers.100.mlp",
  );
});

test.each([20, 40, 60, 80, 200])(
  "a line fits a terminal of %i columns and cannot act on it",
  (columns) => {
    const { host, lines, advance } = fakeHost(columns);
    const observer = makeObserver(host, { lang: "en", style: PLAIN });
    advance(2000);
    observer.progress?.({ ...at(7), tensor: "\u001b[2J层".repeat(100) });
    expect(lines).toHaveLength(1);
    expect(width(lines[0] ?? "")).toBeLessThan(columns);
    expect(lines[0]).not.toMatch(/\p{Cc}/u);
  },
);

test("the first failure is told, where the reader has been waiting", () => {
  const { host, said, advance } = fakeHost(80);
  const observer = makeObserver(host, { lang: "en", style: PLAIN });
  observer.failure?.("layers.0", "layer/prior");
  expect(said).toEqual([]);
  advance(2000);
  observer.failure?.("layers.1", "layer/prior");
  observer.failure?.("layers.2", "layer/prior");
  expect(said).toEqual(["FAIL  layers.1  layer/prior\n"]);
});
