/** What kind of error an origin holds, in words, and what to do next about it. */

import { escapeText } from "../core/escape.ts";
import type { CauseResult, Origin } from "../core/groups.ts";
import type { ComparisonResult } from "../core/result.ts";
import { causeMessage as filledMessage, isCauseId } from "../diagnose/cause-texts/index.ts";
import { modelOf } from "./input-label.ts";
import { type Language, MESSAGES } from "./messages/index.ts";

/** Causes that are named. */
const SHOWN = 3;

/** Confidence from which a cause is called one, and called likely. */
const SURE = 0.9;
const LIKELY = 0.7;

/** A line for each cause of `origin`. */
export function causeLines(origin: Origin, lang: Language): readonly string[] {
  return origin.causes.slice(0, SHOWN).map((cause) => {
    const { label, message } = causeWords(cause, lang);
    return `${label}${MESSAGES[lang].colon}${message}`;
  });
}

/** How sure a cause is, and what was seen. */
export function causeWords(
  cause: CauseResult,
  lang: Language,
): { readonly label: string; readonly message: string } {
  const { labels } = MESSAGES[lang];
  const { confidence } = cause;
  const label =
    confidence >= SURE
      ? labels.cause
      : confidence >= LIKELY
        ? labels.likelyCause
        : labels.possibleCause;
  return { label, message: causeMessage(cause, lang) };
}

/** What was seen, with its figures, escaped. */
export function causeMessage({ id, evidence, detail }: CauseResult, lang: Language): string {
  const message = lang === "en" || !isCauseId(id) ? null : filledMessage(id, lang, detail);
  return escapeText(message ?? evidence, 400);
}

/** Where the two dumps lie, for a command that is typed where they were given; reports that are kept name no folders. */
export interface Paths {
  readonly reference: string;
  readonly candidate: string;
  /** The map of names that was given, if any. */
  readonly map: string | null;
}

/** Modules of which `npu-dump probe` knows hypotheses; what a router chooses shows in what its experts answer. */
const PROBED = /^(embed|norm|logits|layers\.\d+(\.(attn|mlp|router))?)$/;

/**
 * The command that says more about the origin: what its cause means, or, where
 * none is sure and a forced reference shows that the module is at fault, the
 * probe that tests named hypotheses; where no cause is known, where in the tensor
 * the error is. Null where none of them would.
 */
export function nextCommand(
  { origin, evidence, inputs, ...result }: ComparisonResult,
  paths: Paths | null = null,
): string | null {
  const [cause] = origin?.causes ?? [];
  const probes =
    origin !== null &&
    evidence === "forced" &&
    !result.isolated &&
    origin.step === "prefill" &&
    PROBED.test(origin.tensor);
  if (probes && !(cause !== undefined && cause.confidence > SURE)) {
    const model = modelOf({ origin, evidence, inputs, ...result }).id;
    const file = word(paths?.candidate ?? inputs.candidate.file, "CANDIDATE");
    return `npu-dump probe ${file} --module ${origin.tensor.replace(/router$/, "mlp")} --model ${word(model ?? "", "DIR")}`;
  }
  if (cause !== undefined && isCauseId(cause.id)) return `npu-diff explain ${cause.id}`;
  const tensor = result.tensors.find(
    ({ name, step }) => name === origin?.tensor && step === origin.step,
  );
  if (tensor?.tokenRelL2 == null) return null;
  const [reference, candidate] = [
    paths?.reference ?? inputs.reference.file,
    paths?.candidate ?? inputs.candidate.file,
  ];
  const files = `${word(reference, "REFERENCE")} ${word(candidate, "CANDIDATE")}`;
  const name = word(tensor.name, "");
  return name === ""
    ? null
    : `npu-diff inspect ${files} --tensor ${name}${mapOption(result, paths)}`;
}

/** The map under whose names tensors were compared, as an option; empty without one. */
function mapOption({ findings }: Pick<ComparisonResult, "findings">, paths: Paths | null): string {
  const said = findings.find(({ rule, detail }) => rule === "input/renamed" && "at" in detail);
  const file = String(said?.detail["at"] ?? "").replace(/:\d+$/, "");
  return file === "" ? "" : ` --map ${word(paths?.map ?? file, "FILE")}`;
}

/** `text` as a word of a command line, or `otherwise` where a shell or a parser would see more in it. */
function word(text: string, otherwise: string): string {
  return /^[\w./+@][\w./+@:=-]*$/.test(text) ? text : otherwise;
}
