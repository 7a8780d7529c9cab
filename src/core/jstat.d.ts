/** The two functions of jStat that are used; the package ships no types. */
declare module "jstat" {
  export const jStat: {
    readonly studentt: { inv(p: number, degreesOfFreedom: number): number };
    readonly normal: { cdf(x: number, mean: number, standardDeviation: number): number };
  };
}
