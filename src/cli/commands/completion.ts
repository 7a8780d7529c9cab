import yargs from "yargs";
import { EXIT } from "../exit-code.ts";
import type { Command } from "./command.ts";

export const completion: Command = {
  name: "completion",
  describe: "Print a completion script for bash or zsh",
  positionals: [],
  examples: ["npu-diff completion >> ~/.bashrc"],
  options: [],
  async run(_args, host) {
    let script = "";
    // A parser of its own: on the main one yargs would take every file that is
    // called "completion" for this command.
    await yargs()
      .scriptName("npu-diff")
      .exitProcess(false)
      .completion("completion")
      .parse(["completion"], {}, (_error, _argv, output) => {
        script = output;
      });
    await host.stdout.write(`${script}\n`);
    return EXIT.pass;
  },
};
