// @ts-check
/**
 * `npm run page-speed`: how large the HTML report of 1,200 tensors is, and how long
 * Chromium takes to show and to sort it. Nothing is asserted: machines differ.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { findChromium, HOW_TO_GET } from "./lib/browser.mjs";
import { Failure, main } from "./lib/failure.mjs";
import { ROOT } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";

const PAIRS = join(ROOT, "fixtures", "pairs");
const TENSORS = 1200;
const BINS = 128;
const ROUNDS = 5;

await main(async () => {
  const executablePath = findChromium();
  if (executablePath === undefined) {
    throw new Failure("no browser shows the report", [["looked for", "Chromium"]], HOW_TO_GET);
  }
  const folder = mkdtempSync(join(tmpdir(), "npu-diff-page-"));
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath, args });
  try {
    const html = await large(folder);
    const path = join(folder, "large.html");
    writeFileSync(path, html);
    process.stdout.write(`${TENSORS} tensors: ${Math.round(Buffer.byteLength(html) / 1000)} kB\n`);
    for (let round = 0; round < ROUNDS; round += 1) {
      const page = await browser.newPage({ viewport: { width: 1180, height: 800 } });
      await page.goto(pathToFileURL(path).href);
      // The browser's own clock began with the navigation.
      const complete = Number(
        await page.evaluate("performance.getEntriesByType('navigation')[0].domComplete"),
      );
      const start = performance.now();
      await page.locator(".tensors th button").nth(6).click();
      const sorted = performance.now() - start;
      process.stdout.write(`complete ${complete.toFixed(0)} ms, sorted ${sorted.toFixed(0)} ms\n`);
      await page.close();
    }
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

/**
 * The page of a pair of the fixtures whose layers come again until there are enough of them.
 *
 * @param {string} folder
 */
async function large(folder) {
  const [reference = "", candidate = "", floor = ""] = [
    "clean/reference",
    "rotary-base/candidate",
    "clean/floor",
  ].map((name) => join(PAIRS, `${name}.arrow`));
  const json = join(folder, "result.json");
  const compare = ["compare", reference, candidate, "--floor", floor, "--details"];
  const program = join(ROOT, "dist", "cli", "main.js");
  await run(process.execPath, [program, ...compare, "--exit-zero", "-o", json]);
  const result = JSON.parse(readFileSync(json, "utf8"));
  const tokenErrors = result.details.tokenErrors;
  const layers = result.tensors.filter(
    /** @param {{ layer: number | null, step: string }} tensor */
    ({ layer, step }) => layer === 0 && step === "prefill",
  );
  const tensors = Array.from({ length: TENSORS }, (_, i) => {
    const layer = Math.floor(i / layers.length);
    const one = layers[i % layers.length];
    return { ...one, layer, name: one.name.replace("layers.0", `layers.${layer}`) };
  });
  const bins = Array.from({ length: BINS }, (_, from) => ({
    from,
    to: from + 1,
    text: ` word${from}`,
  }));
  const rows = tensors.map(({ name, tokenRelL2 }) => ({
    tensor: name,
    relL2: bins.map(({ from }) => tokenRelL2.gm * (0.5 + from / BINS)),
  }));
  const { renderHtml } = await import(
    pathToFileURL(join(ROOT, "dist", "report", "html", "page.js")).href
  );
  return renderHtml(
    {
      ...result,
      tensors,
      details: { ...result.details, tokenErrors: { ...tokenErrors, tokens: BINS, bins, rows } },
    },
    { lang: "en", command: null },
  );
}
