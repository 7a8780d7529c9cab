/** A number and what it counts, in English. */

/** Whether a number, formatted or not, asks for the singular. */
export function isOne(count: number | string): boolean {
  return String(count) === "1";
}

/** `1 token`, `2 tokens`, `0 entries`. */
export function counted(count: number | string, one: string, many = `${one}s`): string {
  return `${count} ${isOne(count) ? one : many}`;
}
