/** The matrix product of the head, by onnxruntime-node: the only place that loads it, and only when it is needed. */

import { NpuDiffError, reasonOf } from "../../core/errors.ts";
import { gemmModel } from "./onnx-gemm.ts";

/** Multiplies float32 matrices. */
export interface Product {
  /**
   * `y = x · wᵀ`, row after row.
   *
   * @param x [rows, width]
   * @param w [columns, width]
   * @param y [rows, columns], which is overwritten
   */
  multiply(x: Float32Array, w: Float32Array, y: Float32Array, width: number): Promise<void>;
  end(): Promise<void>;
}

/**
 * Loads the run time.
 *
 * @param threads that it may use; the result does not depend on it.
 * @throws NpuDiffError `package-missing`
 */
export async function loadProduct(threads: number): Promise<Product> {
  const { InferenceSession, Tensor } = await loadRuntime();
  const session = await InferenceSession.create(gemmModel(), {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    // Every shape of a tile would keep its own memory.
    enableCpuMemArena: false,
    enableMemPattern: false,
  });
  return {
    async multiply(x, w, y, width) {
      const rows = x.length / width;
      const columns = w.length / width;
      await session.run(
        {
          x: new Tensor("float32", x, [rows, width]),
          w: new Tensor("float32", w, [columns, width]),
        },
        { y: new Tensor("float32", y, [rows, columns]) },
      );
    },
    end: () => session.release(),
  };
}

async function loadRuntime() {
  try {
    return await import("onnxruntime-node");
  } catch (cause) {
    const found = reasonOf(cause).split("\n", 1)[0] ?? "";
    throw new NpuDiffError("package-missing", {
      what: "--lm-head needs a package that is not there",
      facts: [
        {
          label: "needed",
          text: "onnxruntime-node 1.20 or later, which multiplies by the lm_head",
        },
        { label: "found", text: found },
      ],
      help: "add it beside npu-diff: npm install --ignore-scripts onnxruntime-node (without its scripts it fetches no GPU files)",
      cause,
    });
  }
}
