import yargs from "yargs";
import { usageError } from "../arguments.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "./command.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

type Shell = (typeof SHELLS)[number];

/** yargs writes none for fish; what it prints for a line it prints for any shell. */
const FISH = `function __npu_diff_complete
    set -l words (commandline -opc) (commandline -ct)
    npu-diff --get-yargs-completions $words | string replace -r ':.*$' ''
end
complete -c npu-diff -a '(__npu_diff_complete)'
`;

export const completion: Command = {
  name: "completion",
  describe: "Print a completion script for bash, zsh or fish; by default for the shell of $SHELL",
  positionals: [],
  optional: ["shell"],
  words: SHELLS,
  examples: [
    "npu-diff completion bash >> ~/.bashrc",
    "npu-diff completion zsh >> ~/.zshrc",
    "npu-diff completion fish > ~/.config/fish/completions/npu-diff.fish",
  ],
  options: [],
  async run(args, host) {
    const shell = readShell(args.positionals[0], host.env["SHELL"]);
    await host.stdout.write(shell === "fish" ? FISH : await script(shell));
    return EXIT.pass;
  },
};

function readShell(given: string | undefined, own: string | undefined): Shell {
  if (given === undefined) return SHELLS.find((shell) => own?.endsWith(shell) === true) ?? "bash";
  const known = SHELLS.find((shell) => shell === given);
  if (known !== undefined) return known;
  throw usageError(
    "npu-diff completion knows no such shell",
    { given: JSON.stringify(given), expected: SHELLS.join(", ") },
    `npu-diff completion ${SHELLS[0]}`,
  );
}

async function script(shell: "bash" | "zsh"): Promise<string> {
  let found = "";
  const before = process.env["SHELL"];
  // From there yargs knows the shell, and from nowhere else.
  process.env["SHELL"] = shell;
  try {
    // A parser of its own: on the main one yargs would take every file that is
    // called "completion" for this command.
    await yargs()
      .scriptName("npu-diff")
      .exitProcess(false)
      .completion("completion")
      .parse(["completion"], {}, (_error, _argv, output) => {
        found = output;
      });
  } finally {
    if (before === undefined) delete process.env["SHELL"];
    else process.env["SHELL"] = before;
  }
  return `${found}\n`;
}
