/** The report in a browser: what a reader can do with it, and what it does not do. */

import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import axe, { type AxeResults } from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CheckResult } from "../../src/core/check-result.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import { renderCheckHtml } from "../../src/report/check/html.ts";
import { renderHtml } from "../../src/report/html/page.ts";
import type { Language } from "../../src/report/messages/index.ts";
import {
  comparison,
  EVIL,
  FAIL_BY_KEYWORDS,
  FAIL_BY_LAYER,
  FAIL_WITH_OWN,
  HOSTILE,
  LARGE,
  withTokens,
} from "../report/results.ts";
import { scratch } from "../support/scratch.ts";

const files = scratch();

/** A failure with everything that a page can show. */
const RICH = withTokens(
  {
    ...FAIL_WITH_OWN,
    quality: { ...FAIL_WITH_OWN.quality, generation: FAIL_BY_KEYWORDS.quality.generation },
    environment: { differences: [{ key: "engine.attention", reference: "sdpa", candidate: null }] },
  },
  { tokens: 61 },
);

/** Pairs of all verdicts, of which two have a picture, a table and texts each. */
const CHECK: CheckResult = {
  schemaVersion: 1,
  verdict: "error",
  config: "npu-diff.jsonc",
  baseline: { file: "npu-diff.baseline.json", state: "compared" },
  pairs: [
    { name: "good", verdict: "pass", result: comparison(), error: null },
    { name: "bad", verdict: "fail", result: RICH, error: null },
    {
      name: EVIL,
      verdict: "fail",
      result: withTokens(HOSTILE, { tokens: 8, text: EVIL }),
      error: null,
    },
    {
      name: "gone",
      verdict: "error",
      result: null,
      error: {
        code: "file-not-found",
        what: "npu.arrow does not exist",
        facts: [{ label: "file", text: EVIL }],
        help: "check the path",
      },
    },
  ],
};

let browser: Browser;

beforeAll(async () => {
  const executablePath = process.env["CHROMIUM"] ?? "";
  if (executablePath === "") throw new Error("CHROMIUM must be the path of a browser");
  // Its sandbox refuses to run as root; what it shows is made here.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  browser = await chromium.launch({ executablePath, args });
});

afterAll(() => browser.close());

/** A page that is shown, and everything that it asked for or complained about. */
interface Shown {
  readonly page: Page;
  readonly requests: readonly string[];
  readonly complaints: readonly string[];
}

type ShowOptions = BrowserContextOptions & { readonly lang?: Language };

function show(
  result: ComparisonResult,
  { lang = "en", ...options }: ShowOptions = {},
): Promise<Shown> {
  const command = "npu-diff compare cpu.arrow npu.arrow";
  return showPage(renderHtml(result, { lang, command }), options);
}

function showCheck(
  check: CheckResult,
  { lang = "en", ...options }: ShowOptions = {},
): Promise<Shown> {
  const commandOf = (pair: string | null): string => `npu-diff check ${pair ?? ""}`;
  return showPage(renderCheckHtml(check, { lang, commandOf }), options);
}

async function showPage(source: string, options: BrowserContextOptions): Promise<Shown> {
  const path = files.path(".html");
  writeFileSync(path, source);
  const context = await browser.newContext({ viewport: { width: 1180, height: 800 }, ...options });
  const page = await context.newPage();
  const requests: string[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", ({ message }) => complaints.push(message));
  page.on("dialog", (dialog) => {
    complaints.push(dialog.message());
    void dialog.dismiss();
  });
  await page.goto(pathToFileURL(path).href);
  return { page, requests, complaints };
}

/** What stands in the cells of a column of the table of tensors, of the rows that are seen. */
function column(page: Page, index: number): Promise<readonly string[]> {
  return page.locator(`.tensors tbody tr:visible td:nth-child(${index + 1})`).allTextContents();
}

describe.each([
  ["light", "en"],
  ["dark", "zh"],
] as const)("in %s, %s", (colorScheme, lang) => {
  test.each([
    ["a failure", RICH],
    ["a stranger's names", withTokens(HOSTILE, { tokens: 8, text: EVIL })],
  ])("axe finds nothing in %s", async (_name, result) => {
    const { page } = await show(result, { colorScheme, lang });
    await page.evaluate(axe.source);
    const { violations, passes } = await page.evaluate<AxeResults>("axe.run()");
    expect(
      violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`)),
    ).toEqual([]);
    expect(passes.map(({ id }) => id)).toContain("color-contrast");
  });

  test("axe finds nothing in a check with all its reports open", async () => {
    const { page, requests, complaints } = await showCheck(CHECK, { colorScheme, lang });
    for (const fold of await page.locator(".pair > summary").all()) {
      if (!(await fold.evaluate(({ parentElement: one }) => one?.hasAttribute("open")))) {
        await fold.click();
      }
    }
    expect(await page.locator(".pair .tensors:visible").count()).toBe(3);
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate<AxeResults>("axe.run()");
    expect(
      violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`)),
    ).toEqual([]);
    expect(requests.filter((url) => !url.startsWith("data:image/png;base64,"))).toHaveLength(1);
    expect(complaints).toEqual([]);
  });
});

test("the page asks for nothing but itself, and breaks no rule of its policy", async () => {
  const { page, requests, complaints } = await show(RICH);
  await page.locator("#theme").click();
  await page.locator(".tensors th button").first().click();
  // Its pictures are inside of it.
  expect(requests.filter((url) => !url.startsWith("data:image/png;base64,"))).toHaveLength(1);
  expect(complaints).toEqual([]);
  // The policy holds: another script is refused, and so is an address.
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "document.title = 'broken'";
    const image = document.createElement("img");
    image.src = "https://example.invalid/pixel.png";
    document.body.append(script, image);
  });
  await expect.poll(() => complaints.length).toBe(2);
  expect(complaints.every((text) => text.includes("Content Security Policy"))).toBe(true);
  expect(await page.title()).not.toBe("broken");
});

test("a stranger's text runs nothing and turns nothing around", async () => {
  const { page, complaints } = await show(
    withTokens(HOSTILE, { tokens: 8, text: "</script><img src=x onerror=alert(1)>" }),
  );
  await page.locator("[role=gridcell]").focus();
  await page.keyboard.press("End");
  expect(complaints).toEqual([]);
  expect(await page.locator("script:not([type]), iframe, img, object").count()).toBe(1);
  expect(await page.locator(".readout").textContent()).toContain(
    "</script><img src=x onerror=alert(1)>",
  );
});

test("the first screen holds the verdict, where, how bad, and what next", async () => {
  const { page } = await show(FAIL_BY_LAYER);
  for (const [selector, text] of [
    ["h1", "FAIL"],
    [".next code", "npu-diff explain cause/saturation"],
    [".tile:first-child .value", "layer 7 mlp"],
    [".tile:first-child .note", "67.2 × floor"],
  ] as const) {
    const found = page.locator(selector);
    expect(await found.textContent()).toContain(text);
    const box = await found.boundingBox();
    expect((box?.y ?? 800) + (box?.height ?? 0)).toBeLessThan(800);
  }
});

describe("the picture of layers by tokens", () => {
  test("is read by keyboard, a cell at a time", async () => {
    const { page } = await show(RICH);
    const readout = page.locator(".readout");
    const cell = page.locator("[role=gridcell]");
    // One stop of the Tab key, somewhere behind the chart.
    for (let stop = 0; stop < 40; stop += 1) {
      await page.keyboard.press("Tab");
      if (await cell.evaluate((one) => one === document.activeElement)) break;
    }
    expect(await cell.evaluate((one) => one === document.activeElement)).toBe(true);
    await page.keyboard.press("Control+Home");
    expect(await readout.textContent()).toMatch(/^embed · token 0 · " word0" · ≈ 0\.\d+ × floor$/);
    for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
    expect(await readout.textContent()).toMatch(/^layer 0 attn · token 2 · " word2" · /);
    expect(await cell.getAttribute("aria-colindex")).toBe("3");
    expect(await cell.getAttribute("aria-label")).toBe(await readout.textContent());
    await page.keyboard.press("Control+End");
    expect(await readout.textContent()).toMatch(/^logits · token 60 · /);
    await page.keyboard.press("ArrowDown");
    expect(await readout.textContent()).toMatch(/^logits · token 60 · /);
  });

  test("begins at the largest error, and follows the pointer", async () => {
    const { page } = await show(RICH);
    const readout = page.locator(".readout");
    // 67.2 times the floor by 0.5 + 60/61.
    expect(await readout.textContent()).toBe('layer 7 mlp · token 60 · " word60" · ≈ 100 × floor');
    const image = page.locator(".cells image");
    await image.hover({ position: { x: 1, y: 1 } });
    expect(await readout.textContent()).toMatch(/^embed · token 0 · /);
    const [box, frame] = [
      await image.boundingBox(),
      await page.locator("[role=gridcell]").boundingBox(),
    ];
    expect(frame?.x).toBeCloseTo(box?.x ?? Number.NaN, 0);
    expect(frame?.y).toBeCloseTo(box?.y ?? Number.NaN, 0);
  });
});

test("the table sorts by any column, and back", async () => {
  const { page } = await show(FAIL_BY_LAYER);
  const heading = page.getByRole("button", { name: "x FLOOR" });
  await heading.click();
  const ratios = await column(page, 6);
  expect(ratios[0]?.trim()).toBe("67.2");
  expect(ratios.map(Number)).toEqual(ratios.map(Number).sort((a, b) => b - a));
  expect(await page.locator("th[aria-sort]").getAttribute("aria-sort")).toBe("descending");
  await heading.press("Enter");
  expect((await column(page, 6)).at(-1)?.trim()).toBe("67.2");
  await page.getByRole("button", { name: "TENSOR" }).click();
  expect((await column(page, 1))[0]?.trim()).toBe("attn");
});

test("the table is filtered by name and verdict", async () => {
  const { page } = await show(FAIL_BY_LAYER);
  await page.getByLabel("Filter by name").fill("MLP");
  expect(new Set(await column(page, 1))).toEqual(new Set(["mlp"]));
  expect(await page.locator(".filter output").textContent()).toBe("30 of 93 tensors");
  await page.getByLabel("VERDICT").selectOption({ label: "FAIL" });
  expect(await page.locator(".filter output").textContent()).toBe("23 of 93 tensors");
  await page.getByLabel("Filter by name").fill("layers.7");
  expect((await column(page, 1)).map((name) => name.trim())).toEqual(["mlp", "output"]);
});

test("light and dark are one button apart", async () => {
  const { page } = await show(comparison(), { colorScheme: "light" });
  const paper = (): Promise<string> =>
    page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await paper();
  await page.getByRole("button", { name: "Dark" }).click();
  const dark = await paper();
  expect(dark).not.toBe(light);
  await page.getByRole("button", { name: "Light" }).click();
  expect(await paper()).toBe(light);
});

test("without JavaScript everything is there to read", async () => {
  const { page } = await show(RICH, { javaScriptEnabled: false });
  expect(await page.locator(".tensors tbody tr:visible").count()).toBe(93);
  for (const selector of ["h1", "svg.chart", ".cells image", ".tensors", "noscript"]) {
    expect(await page.locator(selector).first().isVisible()).toBe(true);
  }
  for (const selector of ["#theme", ".filter", ".copy"]) {
    expect(await page.locator(selector).first().isVisible()).toBe(false);
  }
});

test("on paper nothing is cut off by a scroll bar", async () => {
  const { page } = await show(RICH);
  await page.emulateMedia({ media: "print" });
  const clipped = await page.evaluate(() =>
    [...document.querySelectorAll(".scroll")].filter(
      (one) => getComputedStyle(one).overflow !== "visible",
    ),
  );
  expect(clipped).toEqual([]);
  expect(await page.locator("nav").isVisible()).toBe(false);
});

test("nothing is wider than a narrow screen", async () => {
  const { page } = await show(withTokens(HOSTILE, { tokens: 8 }), {
    viewport: { width: 360, height: 740 },
  });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
});

test("1,200 tensors of 512 tokens are all there, and sorted by one click", async () => {
  const { page } = await show(withTokens(LARGE, { tokens: 512 }));
  // The script has run once the grid stands.
  expect(await page.locator("[role=gridcell]").count()).toBe(1);
  expect(await page.locator(".tensors tbody tr").count()).toBe(1200);
  await page.getByRole("button", { name: "x FLOOR" }).click();
  expect(
    (await page.locator(".tensors tbody tr td:nth-child(7)").first().textContent())?.trim(),
  ).toBe("67.2");
});

describe("the page of a check", () => {
  test("its table leads into the reports, each with a script of its own", async () => {
    const { page, complaints } = await showCheck(CHECK);
    const bad = page.locator("#pair-2");
    const good = page.locator("#pair-1");
    expect(await good.locator(".tensors").isVisible()).toBe(false);
    await page.getByRole("link", { name: "good" }).click();
    await good.locator(".tensors").waitFor({ state: "visible" });
    // What is done in one of them stays there.
    await bad.getByLabel("Filter by name").fill("mlp");
    expect(await bad.locator(".filter output").textContent()).toBe("30 of 93 tensors");
    expect(await good.locator(".filter output").textContent()).toBe("93 of 93 tensors");
    await bad.locator("[role=gridcell]").press("Control+Home");
    expect(await bad.locator(".readout").textContent()).toMatch(/^embed · token 0 /);
    expect(complaints).toEqual([]);
  });

  test("is read without JavaScript, on a narrow screen as well", async () => {
    const { page } = await showCheck(CHECK, {
      javaScriptEnabled: false,
      viewport: { width: 360, height: 740 },
    });
    for (const text of ["layer 7 mlp", "npu.arrow does not exist"]) {
      expect(await page.getByText(text).first().isVisible()).toBe(true);
    }
    await page.locator("#pair-1 > summary").click();
    expect(await page.locator("#pair-1 .tensors tbody tr:visible").count()).toBe(93);
    const box = await page.locator("main").boundingBox();
    expect((box?.x ?? 0) + (box?.width ?? 999)).toBeLessThanOrEqual(360);
  });

  test("is unfolded on paper", async () => {
    const { page } = await showCheck(CHECK, { javaScriptEnabled: false });
    const row = page.locator("#pair-1 .tensors tbody tr").first();
    const height = async (): Promise<number> => (await row.boundingBox())?.height ?? 0;
    expect(await height()).toBe(0);
    await page.emulateMedia({ media: "print" });
    expect(await height()).toBeGreaterThan(5);
  });
});
