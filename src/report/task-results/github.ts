/** Task results as workflow commands for GitHub Actions. */

import { escapeText } from "../../core/escape.ts";
import type { TaskResultsComparison } from "../../core/task-results.ts";
import { RULES } from "../../judge/rules.ts";
import { type Annotation, renderAnnotations } from "../github.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { evidence, headline } from "./conclusion.ts";
import { formatPoints } from "./format-points.ts";
import { TASK_MESSAGES } from "./messages.ts";

/** The verdict, then each task that falls by itself; a line each. */
export function renderTaskGithub(
  result: TaskResultsComparison,
  { lang }: { readonly lang: Language },
): string {
  const m = TASK_MESSAGES[lang];
  const { tasks, verdict } = result;
  const level = ({ pass: "notice", fail: "error", inconclusive: "warning" } as const)[verdict];
  const failed = tasks.length < 2 ? [] : tasks.filter((task) => task.verdict === "fail");
  const all: readonly Annotation[] = [
    {
      level,
      title: `npu-diff eval: ${MESSAGES[lang].verdict[verdict]}`,
      text: [headline(result, m), ...evidence(result, m)],
    },
    ...failed.map(({ task, difference }): Annotation => {
      const points = m.points(formatPoints(difference.value));
      return {
        level: "error",
        title: "npu-diff eval: task/drop",
        text: [`${escapeText(task)}: ${RULES["task/drop"][lang].message}: ${points}`],
      };
    }),
  ];
  return renderAnnotations(all, lang);
}
