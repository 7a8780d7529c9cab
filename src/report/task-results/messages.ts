/** Everything that the reports of task results say, in both languages. */

import { counted, isOne } from "../../core/counted.ts";
import type { IntervalMethod, TestMethod } from "../../core/task-results.ts";
import type { Language } from "../messages/index.ts";

interface TaskColumnTitles {
  readonly task: string;
  readonly items: string;
  readonly reference: string;
  readonly candidate: string;
  readonly difference: string;
  readonly interval: string;
  readonly verdict: string;
}

/** Arguments are texts that are already formatted and escaped. */
export interface TaskMessages {
  readonly title: string;
  readonly comma: string;
  readonly semicolon: string;
  readonly labels: {
    readonly reference: string;
    readonly baseline: string;
    readonly candidate: string;
    readonly task: string;
    readonly items: string;
    readonly difference: string;
    readonly flips: string;
    readonly lost: string;
    readonly gained: string;
    readonly all: string;
  };
  readonly columns: TaskColumnTitles;
  /** Titles of the table for model cards. */
  readonly card: TaskColumnTitles & { readonly flips: string; readonly p: string };
  readonly version: (version: string) => string;
  readonly runs: (count: string) => string;
  readonly run: (number: string) => string;
  readonly of: (correct: string, items: string) => string;
  readonly mean: (items: string) => string;
  readonly groups: (items: string, groups: string) => string;
  readonly points: (value: string) => string;
  readonly interval: (low: string, high: string, method: string) => string;
  readonly noInterval: string;
  readonly methods: Readonly<Record<IntervalMethod, string>>;
  readonly tests: Readonly<Record<TestMethod, string>>;
  readonly flips: (lost: string, gained: string) => string;
  readonly flipsInCell: (lost: string, gained: string) => string;
  readonly p: (test: string, p: string) => string;
  readonly verdict: {
    readonly within: (value: string, bound: string, limit: string) => string;
    readonly beyond: (value: string, bound: string, limit: string) => string;
    readonly open: (low: string, high: string, limit: string) => string;
    readonly noInterval: (limit: string) => string;
    readonly point: (value: string, limit: string) => string;
    readonly tasksBeyond: (count: string, limit: string) => string;
  };
  readonly defaultLimit: string;
  readonly needed: (items: string) => string;
  readonly byPoint: (low: string, high: string) => string;
  readonly decidePoint: string;
  readonly tasksFail: (names: string) => string;
  readonly tasksOpen: (count: string, of: string) => string;
  readonly more: (count: string) => string;
  readonly baselineNote: string;
  readonly runsNote: (k: string) => string;
  readonly filterNote: (task: string, filter: string, others: string) => string;
  readonly taskIntervalNote: string;
  readonly sameBytes: (files: string) => string;
}

const EN: TaskMessages = {
  title: "Task accuracy",
  comma: ", ",
  semicolon: "; ",
  labels: {
    reference: "reference",
    baseline: "baseline",
    candidate: "candidate",
    task: "task",
    items: "items",
    difference: "difference",
    flips: "flips",
    lost: "lost",
    gained: "gained",
    all: "all tasks",
  },
  columns: {
    task: "TASK",
    items: "ITEMS",
    reference: "REF %",
    candidate: "CAND %",
    difference: "DIFF",
    interval: "95 %",
    verdict: "VERDICT",
  },
  card: {
    task: "Task",
    items: "Items",
    reference: "Reference",
    candidate: "Candidate",
    difference: "Difference (points)",
    interval: "95 % interval",
    flips: "Lost / gained",
    p: "p",
    verdict: "Verdict",
  },
  version: (version) => `version ${version}`,
  runs: (count) => counted(count, "run"),
  run: (number) => `run ${number}`,
  of: (correct, items) => `${correct} of ${items}`,
  mean: (items) => `mean of ${items}`,
  groups: (items, groups) => `${items} in ${counted(groups, "group")}`,
  points: (value) => counted(value, "point"),
  interval: (low, high, method) => `95 % ${low} to ${high} (${method})`,
  noInterval: "no interval below six items or groups",
  methods: {
    wilson: "Wilson",
    tango: "Tango, paired",
    "student-t": "Student t",
    "wilson-less-baseline": "Wilson, one sample",
  },
  tests: {
    "mcnemar-exact": "exact McNemar",
    "binomial-exact": "exact binomial",
    "sign-flip-exact": "exact sign-flip",
    "sign-flip-sampled": "sign-flip of 9999 draws",
    "student-t": "Student t",
  },
  flips: (lost, gained) => `${lost} lost, ${gained} gained`,
  flipsInCell: (lost, gained) => `${lost} / ${gained}`,
  p: (test, p) => `${test} p ${p}`,
  verdict: {
    within: (value, bound, limit) =>
      `accuracy is within ${counted(limit, "point")}: ${value}, at worst ${bound} (95 %)`,
    beyond: (value, bound, limit) =>
      `accuracy fell by more than ${counted(limit, "point")}: ${value}, at best ${bound} (95 %)`,
    open: (low, high, limit) =>
      `the items do not decide: 95 % from ${low} to ${counted(high, "point")}, limit -${limit}`,
    noInterval: (limit) => `too few items for an interval to hold to the limit -${limit}`,
    point: (value, limit) => `${counted(value, "point")} by its value alone, limit -${limit}`,
    tasksBeyond: (count, limit) =>
      `${counted(count, "task")} fell by more than ${counted(limit, "point")}`,
  },
  defaultLimit: "this limit is the default; --max-drop sets another",
  needed: (items) =>
    `about ${items} ${isOne(items) ? "item like this" : "items like these"} would decide`,
  byPoint: (low, high) => `the 95 % interval, ${low} to ${high}, was not held to the limit`,
  decidePoint: "--decide point holds the value alone to the limit",
  tasksFail: (names) => `beyond the limit by itself: ${names}`,
  tasksOpen: (count, of) =>
    `by ${isOne(count) ? "itself" : "themselves"} ${count} of ${counted(of, "task")} ${isOne(count) ? "is" : "are"} open`,
  more: (count) => `and ${count} more`,
  baselineNote:
    "the baseline is a number alone: no item is paired, and its own uncertainty is not in the interval",
  runsNote: (k) =>
    `pass@${k} takes the runs for draws of one kind, which a greedy and a sampled run are not`,
  filterNote: (task, filter, others) =>
    `${task} is judged by its filter ${filter}; --filter chooses another: ${others}`,
  taskIntervalNote: "one task of many fails only beyond the interval that holds for all at once",
  sameBytes: (files) => `the same bytes are given twice: ${files}`,
};

const ZH: TaskMessages = {
  title: "任务精度",
  comma: "，",
  semicolon: "；",
  labels: {
    reference: "基准",
    baseline: "基线",
    candidate: "待测",
    task: "任务",
    items: "题目",
    difference: "差异",
    flips: "翻转",
    lost: "变错",
    gained: "变对",
    all: "全部任务",
  },
  columns: {
    task: "任务",
    items: "题数",
    reference: "基准 %",
    candidate: "待测 %",
    difference: "差异",
    interval: "95 %",
    verdict: "结论",
  },
  card: {
    task: "任务",
    items: "题数",
    reference: "基准",
    candidate: "待测",
    difference: "差异(百分点)",
    interval: "95 % 区间",
    flips: "变错 / 变对",
    p: "p",
    verdict: "结论",
  },
  version: (version) => `版本 ${version}`,
  runs: (count) => `${count} 次运行`,
  run: (number) => `第 ${number} 次`,
  of: (correct, items) => `${correct} / ${items}`,
  mean: (items) => `${items} 题的平均分`,
  groups: (items, groups) => `${items}，分为 ${groups} 组`,
  points: (value) => `${value} 个百分点`,
  interval: (low, high, method) => `95 % 区间 ${low} 至 ${high}（${method}）`,
  noInterval: "少于六题（组），没有区间",
  methods: {
    wilson: "Wilson",
    tango: "Tango，配对",
    "student-t": "Student t",
    "wilson-less-baseline": "Wilson，单样本",
  },
  tests: {
    "mcnemar-exact": "McNemar 精确检验",
    "binomial-exact": "二项精确检验",
    "sign-flip-exact": "符号翻转精确检验",
    "sign-flip-sampled": "符号翻转检验（抽样 9999 次）",
    "student-t": "Student t 检验",
  },
  flips: (lost, gained) => `${lost} 题变错，${gained} 题变对`,
  flipsInCell: (lost, gained) => `${lost} / ${gained}`,
  p: (test, p) => `${test} p ${p}`,
  verdict: {
    within: (value, bound, limit) =>
      `精度下降不超过 ${limit} 个百分点：${value}，最差 ${bound}（95 %）`,
    beyond: (value, bound, limit) =>
      `精度下降超过 ${limit} 个百分点：${value}，最好 ${bound}（95 %）`,
    open: (low, high, limit) =>
      `题目数量不足以判定：95 % 区间 ${low} 至 ${high} 个百分点，上限 -${limit}`,
    noInterval: (limit) => `题数太少，没有可与上限 -${limit} 比较的区间`,
    point: (value, limit) => `仅按数值：${value} 个百分点，上限 -${limit}`,
    tasksBeyond: (count, limit) => `${count} 个任务下降超过 ${limit} 个百分点`,
  },
  defaultLimit: "这是默认上限；--max-drop 可另行设定",
  needed: (items) => `同类题目约需 ${items} 道才能判定`,
  byPoint: (low, high) => `95 % 区间 ${low} 至 ${high} 未用于判定`,
  decidePoint: "--decide point 只用数值与上限比较",
  tasksFail: (names) => `单独超出上限：${names}`,
  tasksOpen: (count, of) => `单独看，${of} 个任务中有 ${count} 个未定`,
  more: (count) => `另有 ${count} 个`,
  baselineNote: "基线只是一个数值：没有逐题配对，区间也不含基线自身的不确定性",
  runsNote: (k) => `pass@${k} 把各次运行视为同类抽样；贪心与采样的运行并非同类`,
  filterNote: (task, filter, others) =>
    `${task} 按其 filter ${filter} 判定；--filter 可选：${others}`,
  taskIntervalNote: "多个任务之一，只有超出对全部任务同时成立的区间才不通过",
  sameBytes: (files) => `同样的内容给了两次：${files}`,
};

export const TASK_MESSAGES: Readonly<Record<Language, TaskMessages>> = { en: EN, zh: ZH };
