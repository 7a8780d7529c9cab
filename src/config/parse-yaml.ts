/**
 * YAML 1.2 as far as it is JSON in another spelling: one document, no tags,
 * anchors or aliases. These are what makes a small file large, or a value
 * another than what stands there; defaults for all pairs do what anchors would.
 */

import { CST, isMap, isScalar, isSeq, Lexer, parseDocument } from "yaml";
import {
  Lines,
  lineCounter,
  MAX_DEPTH,
  objectOf,
  type TextFault,
  type Tree,
  type Value,
} from "./tree.ts";

/** Block indicators on one line, each of which may nest. */
const MAX_INDICATORS = 32;
const MAX_INDENT = 64;

const REFUSED: Readonly<Record<string, string>> = {
  anchor: "an anchor",
  alias: "an alias",
  tag: "a tag",
  "directive-line": "a directive",
};

export function parseYaml(text: string): Tree | TextFault {
  const lineAt = lineCounter(text);
  const refused = refusedToken(text);
  if (refused !== null) {
    const { offset, found } = refused;
    return { line: lineAt(offset), found, expected: "plain YAML: what JSON can say as well" };
  }
  const document = parseDocument(text, {
    version: "1.2",
    schema: "core",
    merge: false,
    // The walk below finds duplicates with their lines, and in less than quadratic time.
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: "error",
  });
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) {
    const [found = ""] = error.message.split("\n");
    return { line: lineAt(error.pos[0]), found, expected: "one YAML document" };
  }
  const lines = new Lines();
  const faults: TextFault[] = [];
  const walk = (node: unknown, path: readonly (string | number)[]): Value => {
    const offset = offsetOf(node);
    if (offset !== null) lines.set(path, lineAt(offset));
    if (isSeq(node)) return node.items.map((item, index) => walk(item, [...path, index]));
    if (isScalar(node)) return node.value as Value;
    if (!isMap(node)) return null;
    const entries: (readonly [string, Value])[] = [];
    const seen = new Set<string>();
    for (const { key, value } of node.items) {
      const at = offsetOf(key) ?? offset ?? 0;
      const name = isScalar(key) ? (key.source ?? String(key.value)) : null;
      if (name === null || seen.has(name)) {
        faults.push({
          line: lineAt(at),
          found: name === null ? "a key that is no text" : `the key ${JSON.stringify(name)} twice`,
          expected: "each key once, as a text",
        });
        continue;
      }
      seen.add(name);
      entries.push([name, walk(value, [...path, name])]);
      lines.set([...path, name], lineAt(at));
    }
    return objectOf(entries);
  };
  const value = walk(document.contents, []);
  return faults[0] ?? { value, lineOf: (path) => lines.of(path) };
}

function offsetOf(node: unknown): number | null {
  return isMap(node) || isSeq(node) || isScalar(node) ? (node.range?.[0] ?? null) : null;
}

/**
 * The first token that is not allowed, or that nests too deep; null where there
 * is none. The parser takes a stack frame for each level, and time that grows with
 * its square; the lexer takes neither.
 */
function refusedToken(text: string): { readonly offset: number; readonly found: string } | null {
  let offset = 0;
  let flowDepth = 0;
  let indicators = 0;
  let isText = false;
  for (const token of new Lexer().lex(text)) {
    // What follows the mark of a text is that text, whatever it looks like.
    const type: CST.TokenType | null = isText ? null : CST.tokenType(token);
    isText = type === "scalar";
    if (type !== null && Object.hasOwn(REFUSED, type)) {
      return { offset, found: REFUSED[type] ?? "" };
    }
    if (type === "flow-map-start" || type === "flow-seq-start") flowDepth += 1;
    else if (type === "flow-map-end" || type === "flow-seq-end") flowDepth -= 1;
    else if (type === "newline") indicators = 0;
    else if (flowDepth === 0 && isIndicator(type)) indicators += 1;
    const indent =
      type === "space" && (offset === 0 || text[offset - 1] === "\n") ? token.length : 0;
    if (flowDepth > MAX_DEPTH || indicators > MAX_INDICATORS || indent > MAX_INDENT) {
      return { offset, found: `nesting deeper than ${MAX_DEPTH}` };
    }
    // The lexer marks what follows as text, or as the start of a document, by a character of its own.
    if (!MARKS.has(token)) offset += token.length;
  }
  return null;
}

/** The control characters that the lexer adds. */
const MARKS: ReadonlySet<string> = new Set([CST.DOCUMENT, CST.FLOW_END, CST.SCALAR]);

function isIndicator(type: string | null): boolean {
  return type === "seq-item-ind" || type === "explicit-key-ind" || type === "map-value-ind";
}
