// @ts-check
/** Progress: a line a step, with the time it took. */

/** Without a terminal, a step that takes longer says so this often. */
const QUIET_SECONDS = 30;

export class Steps {
  /**
   * When each step under way began, by its label.
   *
   * @type {Map<string, number>}
   */
  #underWay = new Map();

  /** @param {NodeJS.WriteStream} [stream] */
  constructor(stream = process.stderr) {
    this.stream = stream;
  }

  /**
   * Runs a step and prints its line: `  12.3 s  label` and, where the step
   * returns a text, that text after it. Several may be under way, by different labels.
   *
   * @template T
   * @param {string} label
   * @param {() => Promise<T> | T} body
   * @returns {Promise<T>}
   */
  async run(label, body) {
    const start = performance.now();
    this.#underWay.set(label, start);
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
      this.#underWay.delete(label);
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
    this.#draw();
    return setInterval(() => this.#draw(), 100);
  }

  /** All that is under way on one line, as far as it is wide. */
  #draw() {
    const all = [...this.#underWay].map(([label, start]) => `${elapsed(start)}  ${label} ...`);
    this.stream.write(`\r\u001b[K${all.join("").slice(0, this.stream.columns - 1)}`);
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
