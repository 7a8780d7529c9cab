/** What the page says beside what every report says. Arguments are formatted, not escaped. */
export interface PageWords {
  /** Language of the page, for whoever reads it aloud. */
  readonly tag: "en" | "zh-CN";
  readonly skip: string;
  readonly contents: string;
  readonly light: string;
  readonly dark: string;
  readonly copy: string;
  readonly copied: string;
  readonly nothingDrawn: string;
  /** In multiples of the noise floor. */
  times(ratio: string): string;
  ofPrior(ratio: string): string;
  differing(count: string): string;
  withoutScript: string;
  /** Of a page with several pairs. */
  readonly check: {
    readonly pair: string;
    readonly verdict: string;
    readonly overFloor: string;
    readonly next: string;
    readonly repeat: string;
    /** Why a report is brief, before the command that shows all of it. */
    readonly brief: string;
  };

  readonly sections: {
    readonly layers: string;
    readonly heat: string;
    readonly elements: string;
    readonly logits: string;
    readonly causes: string;
    readonly quality: string;
    readonly texts: string;
    readonly performance: string;
    readonly determinism: string;
    readonly tensors: string;
    readonly limits: string;
    readonly notes: string;
    readonly environment: string;
    readonly inputs: string;
    readonly repeat: string;
  };
  readonly tiles: {
    readonly figures: string;
    readonly firstFault: string;
    readonly worst: string;
    readonly tensors: string;
    beyond(failed: string, total: string): string;
    allHold(total: string): string;
    undecided(count: string): string;
    roles(origin: string, inherited: string): string;
    readonly perplexity: string;
    readonly kl: string;
    readonly top1: string;
    readonly firstToken: string;
    readonly notMeasured: string;
    most(value: string): string;
    /** Without what was inherited. */
    own(size: string): string;
    nearTies(count: string): string;
    ofPrompts(): string;
  };
  readonly chart: {
    readonly whole: string;
    readonly own: string;
    readonly axis: string;
    readonly error: string;
    readonly limit: string;
    readonly priorLimit: string;
    readonly beyond: string;
    firstAt(name: string, size: string): string;
    largestAt(name: string, size: string): string;
  };
  readonly heat: {
    /** What a cell is measured in, by what decided. */
    readonly unit: Readonly<Record<"floor" | "prior" | "exact", string>>;
    intro(prompt: string, tokens: string, tensors: string): string;
    binned(size: string): string;
    largest(tensor: string, tokens: string, size: string): string;
    scale(low: string, high: string, unit: string): string;
    token(from: number): string;
    tokenRange(from: number, last: number): string;
    readonly none: string;
    readonly notFinite: string;
    readonly list: string;
    readonly tokens: string;
    readonly text: string;
    readonly error: string;
  };
  readonly depth: {
    readonly intro: string;
    histogram(elements: string, format: string): string;
    bar(bucket: string, elements: string): string;
  };
  readonly positions: {
    readonly intro: string;
    readonly position: string;
    readonly context: string;
    readonly margin: string;
    readonly says: string;
    readonly same: string;
    readonly flip: string;
    readonly nearTie: string;
  };
  readonly table: {
    readonly caption: string;
    readonly step: string;
    readonly gm: string;
    readonly role: string;
    readonly filter: string;
    readonly filterHint: string;
    readonly every: string;
    /** With `{shown}` and `{all}` for the script to fill in. */
    readonly count: string;
    readonly sort: string;
  };
  readonly cause: {
    readonly none: string;
    readonly confidence: string;
    readonly usual: string;
    of(module: string): string;
  };
  readonly texts: {
    readonly tableLabel: string;
    readonly sharedHint: string;
  };
  readonly facts: {
    readonly key: string;
    readonly noDifferences: string;
    readonly input: string;
    readonly file: string;
    readonly size: string;
    readonly device: string;
    readonly dtype: string;
    readonly tokens: string;
    readonly run: string;
    readonly repeatHint: string;
    readonly absent: string;
  };
}
