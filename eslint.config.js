// Type-aware lint, and the direction of dependencies:
// cli → compare → judge, diagnose → measure → align → dump → core.

import tseslint from "typescript-eslint";

/** Stages in the order in which they may import: each only what stands before it. */
const STAGES = ["core", "dump", "align", "measure", "judge", "diagnose"];

/** Packages that one folder alone may import. */
const OWNED = {
  "apache-arrow": "dump",
  "jsonc-parser": "config",
  jstat: "core",
  // By one dynamic import: see below.
  "onnxruntime-node": "measure/lm-head/product.ts",
  picocolors: "cli",
  yaml: "config",
  yargs: "cli",
};

const SYNTAX = [
  { selector: "ExportDefaultDeclaration", message: "exports have names" },
  { selector: "TSEnumDeclaration", message: "a union of literals says the same" },
];

/** An optional peer of hundreds of megabytes: one file loads it, when it is needed. */
const ONNXRUNTIME = {
  selector: "ImportExpression[source.value=/^onnxruntime-node/]",
  message: "measure/lm-head/product.ts alone loads this package",
};

/** What Node.js has and a browser lacks, beside `process`. */
const NODE_GLOBALS = [
  "Buffer",
  "global",
  "require",
  "module",
  "setImmediate",
  "__dirname",
  "__filename",
];

function restrict(folder, { stages, allowNode = false, allowPackages = [] }) {
  const foreign = Object.keys(OWNED).filter((name) => !allowPackages.includes(name));
  return {
    files: [folder.endsWith(".ts") ? `src/${folder}` : `src/${folder}/**/*.ts`],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            ...stages.map(({ pattern, message }) => ({ regex: pattern, message })),
            ...(allowNode
              ? []
              : [{ regex: "^node:", message: `${folder}/ does no input or output` }]),
            {
              regex: `^(${foreign.join("|")})(/|$)`,
              message: "this package belongs to another folder",
            },
          ],
        },
      ],
      ...(folder === "cli"
        ? {}
        : { "no-restricted-globals": ["error", "process", ...(allowNode ? [] : NODE_GLOBALS)] }),
    },
  };
}

/** Forbids every folder but those named. */
function only(folder, ...allowed) {
  const all = [...STAGES, "report", "config", "cli"];
  const forbidden = all.filter((name) => name !== folder && !allowed.includes(name));
  return [
    {
      pattern: `^\\.\\./(\\.\\./)*(${forbidden.join("|")})/`,
      message: `${folder}/ may import only ${["itself", ...allowed].join(", ")}`,
    },
    ...(folder === "cli"
      ? []
      : [
          {
            pattern: "^\\.\\./(\\.\\./)*(compare|compare-task-results|check|core|index)\\.ts$",
            message: "the pipeline is above the stages",
          },
        ]),
  ];
}

export default tseslint.config(
  {
    ignores: [
      "dist/",
      ".venv/",
      ".cache/",
      "node_modules/",
      "fixtures/",
      "python/",
      "coverage/",
      // AssemblyScript, which its own compiler checks.
      "src/measure/kernel/assembly/",
    ],
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // Kernels index typed arrays within bounds they have checked: `as number`
      // says so without the `!` that is forbidden elsewhere.
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      "@typescript-eslint/consistent-type-definitions": ["error", "interface"],
      "no-restricted-syntax": ["error", ...SYNTAX, ONNXRUNTIME],
    },
  },
  {
    files: ["src/measure/lm-head/product.ts"],
    rules: { "no-restricted-syntax": ["error", ...SYNTAX] },
  },
  {
    files: ["vitest.config.ts", "vitest.browser.config.ts", "**/*.d.ts"],
    rules: { "no-restricted-syntax": "off" },
  },
  restrict("core", { stages: only("core"), allowPackages: ["jstat"] }),
  restrict("dump", {
    stages: only("dump", "core"),
    allowNode: true,
    allowPackages: ["apache-arrow"],
  }),
  restrict("align", { stages: only("align", "dump", "core"), allowNode: true }),
  restrict("measure", { stages: only("measure", "align", "dump", "core") }),
  // Its threads read bodies straight into the kernel's memory.
  restrict("measure/kernel", {
    stages: only("measure", "align", "dump", "core"),
    allowNode: true,
  }),
  restrict("judge", { stages: only("judge", "measure", "align", "dump", "core") }),
  restrict("diagnose", { stages: only("diagnose", "judge", "measure", "align", "dump", "core") }),
  restrict("report", {
    stages: [
      ...only("report", "core", "judge", "diagnose"),
      {
        pattern:
          "^\\.\\./(\\.\\./)*(judge/(?!rules\\.ts|rule-texts/|noise\\.ts)|diagnose/(?!cause-texts/))",
        message:
          "a renderer sees only core/, the tables of rules and causes and the formula of the prior",
      },
    ],
  }),
  // The part of the package that other runtimes import: nothing in it may reach a dump.
  restrict("core.ts", {
    stages: [
      { pattern: "^\\./(?!(core|judge|diagnose|report)/)", message: "this part needs no Node.js" },
    ],
  }),
  restrict("config", {
    stages: only("config", "core", "judge"),
    allowNode: true,
    allowPackages: ["jsonc-parser", "yaml"],
  }),
  restrict("cli", { stages: [], allowNode: true, allowPackages: ["yargs", "picocolors"] }),
);
