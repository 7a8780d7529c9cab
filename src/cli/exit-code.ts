/** The exit codes of `npu-diff`: frozen, additions only. */
export const EXIT = {
  /** Compared, and every rule holds. */
  pass: 0,
  /** Compared, and a rule is broken. */
  fail: 1,
  /** Could not compare: usage, an unreadable or incompatible dump, an internal error. */
  error: 2,
  /** Compared, and the data do not decide. */
  inconclusive: 3,
  /** Interrupted by SIGINT or SIGTERM. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The end of every command's help. */
export const EXIT_CODES_HELP = `Exit codes:
  0    passed
  1    failed
  2    could not compare: bad usage, unusable input, an internal error
  3    inconclusive
  130  interrupted`;
