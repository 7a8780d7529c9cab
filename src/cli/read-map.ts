/** The map of names that a call gives. */

import { resolve } from "node:path";
import type { MapRule } from "../core/name-map.ts";
import type { Arguments } from "./arguments.ts";
import type { Host } from "./host.ts";

/** The rules of `--map`; none without it. */
export async function readMap(args: Arguments, host: Host): Promise<readonly MapRule[]> {
  const path = args.text("map");
  if (path === null) return [];
  const { readNameMap } = await import("../config/name-map.ts");
  return readNameMap(resolve(host.cwd, path), host.cwd);
}
