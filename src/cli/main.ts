#!/usr/bin/env node
/**
 * The entry of `npu-diff`. Nothing is imported statically: the status is 2
 * before any module can fail to load, and `--version` answers at once.
 */

// Could not compare, until proven otherwise.
process.exitCode = 2;

function crash(error: unknown): never {
  const text = error instanceof Error ? error.message : String(error);
  process.stderr.write(
    `error[internal]: npu-diff failed to start\n  cause  ${JSON.stringify(text)}\n  help: reinstall npu-diff; if that does not help, please report this\n`,
  );
  process.exit(2);
}

process.on("uncaughtException", crash);

const argv = process.argv.slice(2);
if (argv.length === 1 && argv[0] === "--version") {
  const { printVersion } = await import("./version.ts");
  printVersion();
} else {
  const { supervise } = await import("./supervise.ts");
  supervise(argv);
}
