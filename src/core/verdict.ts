/** The words of a verdict. Frozen, additions only. */

export type Verdict = "pass" | "fail" | "inconclusive";

/** Prefill (teacher-forced prompt, step 0) and decode (step ≥ 1) run other kernels and are judged apart. */
export type StepGroup = "prefill" | "decode";

/**
 * `origin`: the first module in execution order beyond its limit; `inherited`:
 * what follows it; `independent`: what is at fault by itself behind it, as a
 * forced reference or an isolated replay shows; `part`: a block of the layer that
 * is the origin; `carried`: what stands beyond a limit of the plain pair though
 * every module up to it is right on its own input: left out of judgement where
 * all are, and no origin.
 */
export type Role = "origin" | "inherited" | "independent" | "part" | "carried";
