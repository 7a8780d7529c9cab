import picocolors from "picocolors";
import type { Style } from "../report/style.ts";

/** Styles of a terminal, or none where {@link colorEnabled} says so. */
export function makeStyle(
  flag: string | null,
  env: Readonly<Record<string, string | undefined>>,
  isTTY: boolean,
): Style {
  return picocolors.createColors(colorEnabled(flag, env, isTTY));
}

/**
 * Whether a stream gets colour: `--color`, then NO_COLOR, then FORCE_COLOR,
 * then whether it is a terminal that knows any.
 *
 * @param flag value of `--color`; null, `auto` or anything unknown leaves it to the rest.
 */
function colorEnabled(
  flag: string | null,
  env: Readonly<Record<string, string | undefined>>,
  isTTY: boolean,
): boolean {
  if (flag === "always") return true;
  if (flag === "never") return false;
  // https://no-color.org: present and not empty.
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  const force = env["FORCE_COLOR"];
  if (force !== undefined) return force !== "0" && force !== "false";
  return isTTY && env["TERM"] !== "dumb";
}
