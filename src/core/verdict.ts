/** The words of a verdict. Frozen, additions only. */

export type Verdict = "pass" | "fail" | "inconclusive";

/** Prefill (teacher-forced prompt, step 0) and decode (step ≥ 1) run other kernels and are judged apart. */
export type StepGroup = "prefill" | "decode";

/**
 * `origin`: the first module in execution order beyond its limit; `inherited`:
 * what follows it; `independent`: what is at fault by itself behind it, as a
 * forced reference or an isolated replay shows.
 */
export type Role = "origin" | "inherited" | "independent";
