/** What is used of WebAssembly: TypeScript knows it only together with all of the browser. */

declare namespace WebAssembly {
  /** Opaque; other threads may be given it. */
  interface Module {
    readonly [Symbol.toStringTag]: "WebAssembly.Module";
  }
  const Module: new (bytes: Uint8Array) => Module;

  interface Instance {
    readonly exports: unknown;
  }
  const Instance: new (module: Module, imports: Readonly<Record<string, never>>) => Instance;

  interface Memory {
    readonly buffer: ArrayBuffer;
    /** Detaches `buffer`. */
    grow(pages: number): number;
  }
}
