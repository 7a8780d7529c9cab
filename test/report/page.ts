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
    .replaceAll(/<script type="application\/json">[^<]*<\/script>/g, "");
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

/** Everything that the page may consist of: no frame, object, link or image from elsewhere, no handler. */
const TAGS =
  "a article body button details caption code div dd dl dt figcaption figure form g h1 h2 h3 h4 head header html image input label li main mark meta nav noscript ol option output p path rect section select span summary svg table tbody td text th thead title tr ul";
const ATTRIBUTES =
  "aria-hidden aria-label aria-labelledby aria-live autocomplete charset class content d data-count data-dark data-done data-light data-sort hidden height href http-equiv id lang name open placeholder preserveAspectRatio role scope spellcheck tabindex text-anchor transform type value viewBox width x y";

/** What a page must not have: other tags and attributes, and links or images that lead out of it. */
export function unexpected({ source, tags, attributes }: Page): readonly string[] {
  const targets = [...source.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, to = ""]) => to);
  return [
    ...[...tags].filter((tag) => !TAGS.split(" ").includes(tag)),
    ...[...attributes].filter((one) => !ATTRIBUTES.split(" ").includes(one)),
    ...targets.filter((to) => !/^(?:#|data:image\/png;base64,)/.test(to)),
  ];
}
