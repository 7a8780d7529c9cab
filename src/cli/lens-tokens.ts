import { DEFAULT_OPTIONS } from "../core/options.ts";
import type { Arguments } from "./arguments.ts";

/** More positions than any capture has. */
const MOST = 2 ** 29;

/** How many positions the logit lens looks at: `--lens-tokens`; null for all. */
export function readLensTokens(args: Arguments): number | null {
  if (args.text("lens-tokens") === "all") return null;
  return args.integer("lens-tokens", 0, MOST) ?? DEFAULT_OPTIONS.lensTokens;
}
