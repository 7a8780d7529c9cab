/** ZIP archives of stored entries, for tests of what reads them. */

import { zipSync } from "fflate";

export function zipOf(entries: Readonly<Record<string, Uint8Array>>): Uint8Array {
  return zipSync(entries, { level: 0 });
}
