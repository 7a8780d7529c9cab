import type { Cause } from "./cause.ts";

/** x = −r is a = −2; what is nearer to zero is another error (method study). */
const MOST_A = -1.5;
const MOST_RHO = -0.99;

/** The output has the other sign. */
export const sign: Cause = {
  id: "cause/sign",
  find({ gain: { a, rho } }) {
    return a < MOST_A && rho < MOST_RHO ? { confidence: 0.98, detail: { gain: 1 + a, rho } } : null;
  },
};
