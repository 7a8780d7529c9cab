import type { Rule } from "../judge/rules.ts";
import { type Language, MESSAGES } from "./messages/index.ts";
import type { Style } from "./style.ts";
import { padEnd, width, wrapText } from "./table.ts";

export interface RuleOptions {
  readonly lang: Language;
  readonly style: Style;
  readonly columns: number;
}

/** All that there is to say about one rule; ends with a newline. */
export function renderRule(rule: Rule, { lang, style, columns }: RuleOptions): string {
  const m = MESSAGES[lang].rule;
  const text = rule[lang];
  const parts: readonly (readonly [string, readonly string[]])[] = [
    [m.found, [text.message]],
    [m.formula, [rule.formula]],
    ...(rule.metric === null ? [] : [[m.metric, [rule.metric]] as const]),
    [m.why, [text.why]],
    [m.causes, text.causes],
    [m.tune, [text.tune]],
  ];
  const labelWidth = Math.max(...parts.map(([label]) => width(label)));
  const room = columns - labelWidth - 4;
  const lines = parts.flatMap(([label, texts]) =>
    texts
      .flatMap((one) => wrapText(one, room))
      .map((line, i) => {
        const shown = padEnd(i === 0 ? label : "", labelWidth);
        return `  ${i === 0 ? style.bold(shown) : shown}  ${line}`;
      }),
  );
  return `${style.bold(rule.id)}  ${m.level[rule.level]}\n${lines.join("\n")}\n`;
}
