/** The compiled kernel: loaded once a process, instantiated once a thread. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** What assembly/index.ts gives out; addresses are byte offsets in `memory`. */
export interface Kernel {
  readonly memory: WebAssembly.Memory;
  freeMemory(): number;
  stateBytes(): number;
  /** Sides that `addLogits` has room for. */
  mostSides(): number;
  clearState(state: number): void;
  addPairs(
    dtypeX: number,
    dtypeY: number,
    x: number,
    y: number,
    rows: number,
    columns: number,
    column: number,
    row: number,
    ends: boolean,
    state: number,
    record: number,
    stride: number,
  ): void;
  addChannels(
    dtypeX: number,
    dtypeY: number,
    x: number,
    y: number,
    rows: number,
    width: number,
    weights: number,
    sums: number,
  ): void;
  widenTo(dtype: number, from: number, count: number, factor: number, to: number): void;
  elementAt(dtype: number, from: number, index: number): number;
  startRow(sides: number): void;
  addLogits(sides: number, count: number, n: number, column: number, masked: boolean): void;
  squaresAround(
    dtypeX: number,
    dtypeY: number,
    x: number,
    y: number,
    count: number,
    mean: number,
  ): number;
  softmaxSides(): number;
  softmaxTops(): number;
  countDiffering(x: number, y: number, count: number, size: number): number;
}

// Found through package.json: programs that are bundled lie elsewhere than their sources.
const { resolve } = createRequire(import.meta.url);

/** The program of a helper thread. */
export function helperProgram(): string {
  return resolve("#kernel/helper.js");
}

export function compileKernel(): WebAssembly.Module {
  return new WebAssembly.Module(readFileSync(resolve("#kernel/kernel.wasm")));
}

export function instantiateKernel(module: WebAssembly.Module): Kernel {
  const { exports } = new WebAssembly.Instance(module, {});
  return exports as Kernel;
}
