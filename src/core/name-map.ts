/** Under which names tensors are compared where a file calls them something else. */

/** Whose tensors a rule is about. Floors and forced references come from the reference's engine, and follow it. */
export type MapSide = "reference" | "candidate" | "both";

/** Several tensors, one beside the other along an axis; the last where none is said. */
export interface JoinedSource {
  readonly concat: readonly string[];
  readonly axis: number | null;
}

/** A range of a tensor along an axis: the last where none is said, never that of the tokens. */
export interface SlicedSource {
  readonly slice: string;
  readonly axis: number | null;
  readonly start: number;
  readonly length: number;
}

/** What a tensor is made of, by the names that its file has. */
export type MapSource = string | JoinedSource | SlicedSource;

/**
 * One rule. Names are templates: `{i}` stands for a number, the same wherever it
 * stands in a rule; `*`, once in a name, for any characters.
 */
export interface MapRule {
  readonly side: MapSide;
  /** The name under which the tensor is compared. */
  readonly name: string;
  readonly from: MapSource;
  /** Where it was said, such as `map.yaml:3`. */
  readonly at: string;
}

/** The names that a rule takes tensors from. */
export function namesOf(from: MapSource): readonly string[] {
  if (typeof from === "string") return [from];
  return "concat" in from ? from.concat : [from.slice];
}
