/** A label and its texts, each a paragraph of its own. */
export type Part = readonly [label: string, texts: readonly string[]];
