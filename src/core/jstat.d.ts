/** The functions of jStat that are used; the package is CommonJS and ships no types. */
declare module "jstat" {
  const jstat: {
    readonly jStat: {
      readonly studentt: {
        inv(p: number, degreesOfFreedom: number): number;
        cdf(x: number, degreesOfFreedom: number): number;
      };
      readonly normal: {
        cdf(x: number, mean: number, standardDeviation: number): number;
        inv(p: number, mean: number, standardDeviation: number): number;
      };
    };
  };
  export default jstat;
}
