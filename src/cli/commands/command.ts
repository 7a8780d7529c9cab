import type { Arguments } from "../arguments.ts";
import type { ExitCode } from "../exit-code.ts";
import type { Host } from "../host.ts";
import type { OptionName } from "../options.ts";

/** One command of `npu-diff`. */
export interface Command {
  readonly name: string;
  /** One line for the help. */
  readonly describe: string;
  /** Names of the positionals that are required. */
  readonly positionals: readonly string[];
  /** Whether they are dumps that are read, each a file or the files of all ranks of a run. */
  readonly takesDumps?: boolean;
  /** Names of those that may follow. */
  readonly optional?: readonly string[];
  /** Name of any number that may follow. */
  readonly rest?: string;
  /** Name of one that may stand before them. */
  readonly leading?: string;
  /** Words that a positional may be, for the shell to complete. */
  readonly words?: readonly string[];
  /** Command lines that work, the first thing that the help shows. */
  readonly examples: readonly string[];
  readonly options: readonly OptionName[];
  /** What this command says differently about an option. */
  readonly describeOption?: (option: OptionName) => {
    readonly describe?: string;
    readonly group?: string;
  };
  /**
   * @throws NpuDiffError where no verdict is possible: exit status 2.
   */
  run(args: Arguments, host: Host): Promise<ExitCode>;
}
