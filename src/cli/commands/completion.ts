import { EXIT } from "../exit-code.ts";
import type { Command } from "./command.ts";

export const completion: Command = {
  name: "completion",
  describe: "Print a completion script for bash or zsh",
  positionals: [],
  examples: ["npu-diff completion >> ~/.bashrc"],
  options: [],
  async run(_args, host, completionScript) {
    await host.stdout.write(completionScript());
    return EXIT.pass;
  },
};
