// @ts-check
/** What the demo says, in two languages. */

/**
 * @typedef {object} Messages
 * @property {string} usage
 * @property {(needed: string, free: string) => string} disk
 * @property {Record<import("./captures.mjs").CaptureName, string>} captures
 * @property {string} standIn
 * @property {(name: string) => string} device
 * @property {string} clean
 * @property {(layer: number) => string} faulty
 * @property {(increase: string, first: string) => string} unseen
 * @property {(module: string) => string} probe
 * @property {string} card
 * @property {(seconds: string, folder: string) => string} done
 */

/** @type {Messages} */
const EN = {
  usage: `Usage: npm run demo [-- options]

Captures SmolLM2-135M on 30 passages, compares a clean candidate and one with a
porting fault, names the fault, and prints the reports and a table for a model card.

  --python PATH   capture with this interpreter (or environment), whose torch has
                  the device; nothing is installed into it
  --device NAME   cpu, npu:N or cuda:N; default: a device that torch sees, else cpu
  --dtype NAME    of the candidates: bfloat16 (default), or float16 for devices
                  without it
  --lang en|zh    language of the reports
  --clean         forget the model and the captures, and make them anew
  --help          print this

Exit codes: 0 all as it should be, 1 a comparison came out otherwise, 2 could not run.
`,
  disk: (needed, free) => `needs up to ${needed} of disk in this folder; ${free} are free`,
  captures: {
    reference: "capture the reference: float32 on the CPU",
    floor: "capture the noise floor: the reference in the candidate's precision",
    candidate: "capture the candidate",
    faulty: "capture the faulty candidate",
    floorForced: "run the float32 model on the floor's residual stream, block by block",
    candidateForced: "run it on the candidate's",
    faultyForced: "run it on the faulty candidate's",
  },
  standIn: "no NPU or GPU here: another path through the CPU (eager attention) stands in for it",
  device: (name) => `the candidates run on ${name}`,
  clean: "1. A correct candidate",
  faulty: (layer) =>
    `2. A porting fault: in layer ${layer} the rotary base fell back from 100,000 to 10,000`,
  unseen: (increase, first) =>
    `What a model card would print does not show this fault: perplexity ${increase}, first token ${first}.`,
  probe: (module) => `3. What is wrong in ${module}: hypotheses tested on the CPU`,
  card: "4. The table for a model card (of the correct candidate)",
  done: (seconds, folder) =>
    `All as expected, in ${seconds} s. Dumps and reports are in ${folder}.`,
};

/** @type {Messages} */
const ZH = {
  usage: `用法：npm run demo [-- 选项]

用 30 段文字采集 SmolLM2-135M，比对一个正确的待测端和一个带移植错误的待测端，
指出错误的原因，打印报告和可用于模型卡的表格。

  --python PATH   用这个解释器（或环境）采集，其 torch 支持目标设备；不会向其中安装任何东西
  --device NAME   cpu、npu:N 或 cuda:N；默认取 torch 能看到的设备，没有则用 cpu
  --dtype NAME    待测端精度：bfloat16（默认），不支持它的设备用 float16
  --lang en|zh    报告语言
  --clean         丢弃已有的模型与采集结果，重新生成
  --help          打印本说明

退出码：0 一切如预期，1 比对结果与预期不符，2 无法运行。
`,
  disk: (needed, free) => `本目录最多需要 ${needed} 磁盘空间；现有 ${free}`,
  captures: {
    reference: "采集基准：CPU float32",
    floor: "采集噪声基底：基准引擎，待测端精度",
    candidate: "采集待测端",
    faulty: "采集带错误的待测端",
    floorForced: "float32 模型逐模块重放：输入取自噪声基底的残差流",
    candidateForced: "同上，输入取自待测端",
    faultyForced: "同上，输入取自带错误的待测端",
  },
  standIn: "本机没有 NPU 或 GPU：用 CPU 的另一条路径（eager 注意力）代替",
  device: (name) => `待测端运行在 ${name}`,
  clean: "1. 正确的待测端",
  faulty: (layer) => `2. 移植错误：第 ${layer} 层的旋转位置编码基数由 100,000 退回 10,000`,
  unseen: (increase, first) =>
    `模型卡上的指标看不出这个错误：困惑度 ${increase}，首 token ${first}。`,
  probe: (module) => `3. ${module} 错在哪里：在 CPU 上逐一检验已知原因`,
  card: "4. 可用于模型卡的表格（正确的待测端）",
  done: (seconds, folder) => `全部符合预期，用时 ${seconds} 秒。采集与报告在 ${folder}。`,
};

export const MESSAGES = { en: EN, zh: ZH };
