// @ts-check
/** Progress: a line a step, with the time it took. */

/** Without a terminal, a step that takes longer says so this often. */
const QUIET_SECONDS = 30;

export class Steps {
  /** @param {NodeJS.WriteStream} [stream] */
  constructor(stream = process.stderr) {
    this.stream = stream;
  }

  /**
   * Runs a step and prints its line: `  12.3 s  label` and, where the step
   * returns a text, that text after it.
   *
   * @template T
   * @param {string} label
   * @param {() => Promise<T> | T} body
   * @returns {Promise<T>}
   */
  async run(label, body) {
    const start = performance.now();
    const timer = this.#watch(label, start);
    try {
      const result = await body();
      this.#line(start, label, typeof result === "string" ? result : "");
      return result;
    } catch (error) {
      this.#line(start, label, "FAILED");
      throw error;
    } finally {
      clearInterval(timer);
    }
  }

  /**
   * @param {string} label
   * @param {number} start
   */
  #watch(label, start) {
    if (!this.stream.isTTY) {
      const say = () => this.stream.write(`${elapsed(start)}  ${label} ...\n`);
      return setInterval(say, QUIET_SECONDS * 1000);
    }
    const draw = () => this.stream.write(`\r${elapsed(start)}  ${label} ...`);
    draw();
    return setInterval(draw, 100);
  }

  /**
   * @param {number} start
   * @param {string} label
   * @param {string} note
   */
  #line(start, label, note) {
    if (this.stream.isTTY) this.stream.write("\r\u001b[K");
    this.stream.write(`${elapsed(start)}  ${label}${note === "" ? "" : `: ${note}`}\n`);
  }
}

/** @param {number} start */
function elapsed(start) {
  return `${((performance.now() - start) / 1000).toFixed(1).padStart(7)} s`;
}
