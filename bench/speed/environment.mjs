// @ts-check
/**
 * Makes `.cache/environments/bench` hold exactly the tools that npu-diff is timed
 * beside, and prints its interpreter: `node bench/speed/environment.mjs`.
 *
 * An environment of their own: what they depend on must not decide what npu-dump runs with.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { demandSpace } from "../../scripts/lib/disk.mjs";
import { main } from "../../scripts/lib/failure.mjs";
import { fingerprint, readStamp, writeStamp } from "../../scripts/lib/fingerprint.mjs";
import { CACHE, interpreterOf } from "../../scripts/lib/paths.mjs";
import { findInterpreter, PACKAGE_BYTES, uv } from "../../scripts/lib/python.mjs";

const LOCK = "scripts/requirements/bench.txt";
const FOLDER = join(CACHE, "environments", "bench");

await main(async () => {
  const python = interpreterOf(FOLDER);
  const stamp = join(FOLDER, "setup-stamp");
  const wanted = fingerprint({ files: [LOCK] });
  if (!existsSync(python) || readStamp(stamp) !== wanted) {
    demandSpace(FOLDER, PACKAGE_BYTES, "the tools of the speed benchmark");
    await uv(["venv", "--quiet", "--clear", "--python", findInterpreter().path, FOLDER]);
    const sync = ["pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes"];
    await uv([...sync, "--python", python, LOCK]);
    writeStamp(stamp, wanted);
  }
  process.stdout.write(`${python}\n`);
});
