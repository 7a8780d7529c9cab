/** The one line on a terminal that says how far a comparison is. */

import { escapeText } from "../core/escape.ts";
import type { CompareObserver, Progress } from "../core/options.ts";
import { formatBytes } from "../report/format-number.ts";
import { type NoticeOptions, renderFailure } from "../report/notices.ts";
import { width } from "../report/table.ts";
import type { Host } from "./host.ts";

/** A run that is shorter shows nothing. */
const FIRST_AFTER_MS = 1000;
const INTERVAL_MS = 100;

/**
 * Shows on standard error how far a comparison is, at most ten times a second,
 * and the first tensor that fails, because that is what the reader waits for.
 */
export function makeObserver(host: Host, options: NoticeOptions): CompareObserver {
  const start = host.now();
  let next = start + FIRST_AFTER_MS;
  let failed = false;
  return {
    progress(progress) {
      const now = host.now();
      if (now < next) return;
      next = now + INTERVAL_MS;
      host.status(progressLine(progress, (now - start) / 1000, host.stderr.columns ?? 80));
    },
    logits(done, total) {
      if (host.now() < next) return;
      next = host.now() + INTERVAL_MS;
      host.status(`logits through the lm_head  ${done}/${total} rows`);
    },
    failure(tensor, rule) {
      if (failed || host.now() < start + FIRST_AFTER_MS) return;
      failed = true;
      // Nobody waits for it: the main thread keeps the order of a stream.
      void host.stderr.write(renderFailure(tensor, rule, options));
    },
  };
}

/** One line of less than `columns` columns: the name of the tensor is cut first. */
function progressLine(progress: Progress, seconds: number, columns: number): string {
  const { done, total, bytes, totalBytes, tensor } = progress;
  const rate = bytes / seconds;
  const left = Math.ceil((totalBytes - bytes) / rate);
  const parts = [
    `measuring  ${done}/${total} tensors`,
    `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`,
    `${formatBytes(rate)}/s`,
    ...(Number.isFinite(left) ? [`${left} s left`] : []),
  ];
  let line = "";
  for (const part of parts) {
    const longer = line === "" ? part : `${line}  ${part}`;
    if (width(longer) >= columns) return line;
    line = longer;
  }
  const room = columns - width(line) - 3;
  return room < 8 ? line : `${line}  ${escapeText(tensor, Math.floor(room / 2))}`;
}
