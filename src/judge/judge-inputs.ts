/** What the reader should know about the inputs themselves. */

import { sharedIntegers } from "../align/align.ts";
import { type ModelDifferences, modelDifferences, shownValue } from "../align/configuration.ts";
import type { MetadataDifference } from "../align/environment.ts";
import type { Naming } from "../align/naming/name-pair.ts";
import type { NamedAs, SuggestedName } from "../align/naming/named-as.ts";
import type { ReferenceSet } from "../align/reference-set.ts";
import type { Finding } from "../core/findings.ts";
import type { Dump } from "../dump/dump.ts";
import { type Remarks, readImported } from "../dump/imported.ts";
import type { Floors } from "../measure/floors.ts";
import { finding } from "./findings.ts";
import { isCoarser } from "./presets.ts";

/** What is known of the inputs of a comparison. */
export interface InputFacts {
  readonly reference: Dump;
  readonly candidate: Dump;
  /** The reference set that the reference came from, null where it was given by itself. */
  readonly set: ReferenceSet | null;
  readonly floors: Floors;
  readonly isolated: boolean;
  /** Between the models of reference and candidate. */
  readonly model: ModelDifferences;
  /** Texts that differ, with the number of samples. */
  readonly texts: readonly { readonly name: string; readonly samples: number }[];
  /** What shows that the inputs agree: token ids or the input of a plain module, the texts of the prompts, or nothing. */
  readonly verified: "inputs" | "prompts" | null;
  readonly naming: Naming;
}

/** Findings about the dumps of a comparison, other models first: none of them decides anything. */
export function inputFindings({
  reference,
  candidate,
  set,
  floors,
  isolated,
  model,
  texts,
  verified,
  naming,
}: InputFacts): readonly Finding[] {
  const findings: Finding[] = [
    ...model.configuration.map((difference) =>
      finding("input/config", { detail: detailOf(difference) }),
    ),
    ...floors.used.flatMap(({ dump }) => floorConfiguration(reference, dump)),
  ];
  if (reference.run.id === candidate.run.id) {
    findings.push(finding("input/same-id", { detail: { id: reference.run.id } }));
  }
  if (isolated) findings.push(finding("input/isolated", { detail: { file: candidate.file } }));
  if (reference.run.dtype !== candidate.run.dtype) {
    const rule = isCoarser(reference.run, candidate.run) ? "input/coarse-reference" : "input/dtype";
    findings.push(
      finding(rule, {
        detail: { reference: reference.run.dtype, candidate: candidate.run.dtype },
      }),
    );
  }
  const sides = [
    ["reference", reference],
    ["candidate", candidate],
    ...floors.used.map((floor) => ["floor", floor.dump] as const),
  ] as const;
  for (const [side, dump] of sides) {
    if (dump.repaired) {
      findings.push(finding("input/repaired", { detail: { side, file: dump.file } }));
    }
    findings.push(...importFindings(side, dump));
  }
  findings.push(
    ...naming.names.map(renamed),
    ...naming.givenUp.map(({ names: value, ...detail }) =>
      finding("input/other-module", { value, detail }),
    ),
    ...naming.ambiguous.map(({ names: value, ...detail }) =>
      finding("input/ambiguous-name", { value, detail }),
    ),
    ...naming.similar.map(suggested),
  );
  if (verified === null) {
    findings.push(
      finding("input/unverified", { detail: { reason: untold(reference, candidate) } }),
    );
  }
  if (verified === "prompts") findings.push(finding("input/prompts-only", {}));
  const integers = sharedIntegers(reference, candidate);
  if (integers.length > 0) {
    const names = integers.slice(0, NAMED).map((name) => clipped(name, 40));
    const more = integers.length > NAMED ? [`+${String(integers.length - NAMED)}`] : [];
    findings.push(
      finding("input/integers", {
        value: integers.length,
        detail: { names: [...names, ...more].join(", ") },
      }),
    );
  }
  for (const { name, samples } of texts) {
    findings.push(finding("input/text-differs", { value: samples, detail: { name } }));
  }
  for (const [side, dump] of sides.slice(0, 2)) {
    const repeats = dump.tensors.reduce((most, { repeat }) => Math.max(most, repeat), 0);
    if (repeats === 0) continue;
    findings.push(
      finding("input/repeats", { value: repeats + 1, detail: { side, file: dump.file } }),
    );
  }
  for (const file of set?.strangers ?? []) {
    findings.push(finding("input/set-stranger", { detail: { file } }));
  }
  for (const file of floors.dropped) {
    findings.push(finding("input/floor-dropped", { detail: { file } }));
  }
  for (const { file, dtype, factor } of floors.scaled) {
    findings.push(
      finding("input/floor-scaled", {
        value: factor,
        detail: { file, floor: dtype, candidate: candidate.run.dtype },
      }),
    );
  }
  for (const difference of model.identity) {
    findings.push(finding("input/model", { detail: detailOf(difference) }));
  }
  return findings;
}

/** What of another tool's file was not read, or read by an assumption. */
function importFindings(side: string, { file, run }: Dump): readonly Finding[] {
  const { skipped, assumed } = readImported(run) ?? {};
  const told = (rule: "input/not-read" | "input/assumed", remarks: Remarks | undefined) => {
    if (remarks === undefined || remarks.count === 0) return [];
    const names = remarks.first
      .slice(0, NAMED)
      .map(({ name, why }) => `${clipped(name, 40)} (${clipped(why, 60)})`);
    const more = remarks.count > names.length ? [`+${String(remarks.count - names.length)}`] : [];
    const detail = { side, file, names: [...names, ...more].join(", ") };
    return [finding(rule, { value: remarks.count, detail })];
  };
  return [...told("input/not-read", skipped), ...told("input/assumed", assumed)];
}

/** Entries of a file that a finding names. */
const NAMED = 2;

/** The start of `text`, with a mark where it goes on. */
function clipped(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** Which side told no token ids. */
function untold(reference: Dump, candidate: Dump): string {
  const tells = ({ tensors }: Dump): boolean => tensors.some(({ name }) => name === "input_ids");
  if (tells(reference)) return "untold-candidate";
  return tells(candidate) ? "untold-reference" : "untold-neither";
}

function renamed({ names, ...detail }: NamedAs): Finding {
  return finding("input/renamed", { value: names, detail });
}

function suggested({ from, to, names, cosine }: SuggestedName): Finding {
  const line = `${JSON.stringify(to)}: ${JSON.stringify(from)}`;
  return finding("input/similar-name", { value: names, detail: { from, to, cosine, line } });
}

/** In what the model of a floor differs from the reference's. */
function floorConfiguration(reference: Dump, floor: Dump): readonly Finding[] {
  const { configuration, identity } = modelDifferences(reference.run, floor.run);
  const weights = identity.filter(({ key }) => key === "model.weights_sha256");
  return [...weights, ...configuration].map((difference) => {
    const { candidate, ...detail } = detailOf(difference);
    return finding("input/floor-config", {
      detail: { ...detail, file: floor.file, floor: candidate },
    });
  });
}

function detailOf({ key, reference, candidate }: MetadataDifference): {
  readonly key: string;
  readonly reference: string;
  readonly candidate: string;
} {
  return { key, reference: shownValue(reference), candidate: shownValue(candidate) };
}
