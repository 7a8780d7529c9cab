/** Texts with places that are filled in: `{name}`, `{name%}`, `{name:3}`, and words that follow a number: `{name?one|many}`. */

import { isOne } from "./counted.ts";

const PLACE = /\{(\w+)(%|:\d)?\}/g;

const FORMS = /\{(\w+)\?([^|{}]*)\|([^|{}]*)\}/g;

/** Significant digits of a number whose place asks for no others. */
const DIGITS = 6;

/**
 * `template` with its places filled from `values`: texts as they are, numbers
 * with six significant digits, `{name:3}` with three, `{name%}` as a share of 1
 * in per cent with three.
 *
 * @returns null where a value is lacking.
 */
export function fillTemplate(
  template: string,
  values: Readonly<Record<string, string | number>>,
): string | null {
  const names = placesOf(template);
  if (!names.every((name) => Object.hasOwn(values, name))) return null;
  const chosen = chooseForms(template, (name) => String(values[name]));
  return chosen.replaceAll(PLACE, (_place, name: string, form: string | undefined) => {
    const value = values[name] ?? "";
    if (typeof value === "string") return value;
    if (form === "%") return `${digits(100 * value, 3)} %`;
    return digits(value, form === undefined ? DIGITS : Number(form.slice(1)));
  });
}

/** `template` with each `{name?one|many}` as the number that `textOf` gives for its name asks for. */
export function chooseForms(template: string, textOf: (name: string) => string): string {
  return template.replaceAll(FORMS, (_forms, name: string, one: string, many: string) =>
    isOne(textOf(name)) ? one : many,
  );
}

/** `template` for someone who reads it as it is: in the plural. */
export function inPlural(template: string): string {
  return chooseForms(template, () => "");
}

/** The names that `template` fills in, each as often as it stands there. */
export function placesOf(template: string): readonly string[] {
  return Array.from(template.matchAll(PLACE), ([, name = ""]) => name);
}

function digits(value: number, count: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(count))) : String(value);
}
