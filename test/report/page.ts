/** Reads a page as a strict parser would: anything that is no tag of the page's own is an error. */

export interface Page {
  readonly source: string;
  /** Names of tags and attributes, each once. */
  readonly tags: ReadonlySet<string>;
  readonly attributes: ReadonlySet<string>;
  /** What a reader sees, without style and scripts, with entities resolved. */
  readonly text: string;
  readonly style: string;
  /** The one script that runs. */
  readonly script: string;
}

const TAG = /<\/?([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z:-]+(?:="[^"<>]*")?)*)\s*\/?>/g;

const ENTITIES: Readonly<Record<string, string>> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&#39;": "'",
};

/** @throws where a `<` stands that opens no tag, or an attribute is not in double quotes. */
export function readPage(source: string): Page {
  const style = /<style>([^]*?)<\/style>/.exec(source)?.[1] ?? "";
  const script = /<script>([^]*?)<\/script>/.exec(source)?.[1] ?? "";
  const markup = source
    .replace(/^<!doctype html>\n/, "")
    .replace(`<style>${style}</style>`, "")
    .replace(`<script>${script}</script>`, "")
    .replace(/<script type="application\/json" id="data">[^<]*<\/script>/, "");
  const tags = new Set<string>();
  const attributes = new Set<string>();
  const text = markup.replaceAll(TAG, (_tag, name: string, rest: string) => {
    tags.add(name);
    for (const [, attribute = ""] of rest.matchAll(/\s([a-zA-Z:-]+)(?:="[^"]*")?/g)) {
      attributes.add(attribute);
    }
    return " ";
  });
  if (/[<>]/.test(text)) throw new Error(`stray markup: ${/.{0,60}[<>].{0,60}/.exec(text)?.[0]}`);
  return {
    source,
    tags,
    attributes,
    text: text.replaceAll(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity] ?? entity),
    style,
    script,
  };
}
