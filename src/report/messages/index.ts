import { EN } from "./en.ts";
import type { Language, Messages } from "./messages.ts";
import { ZH } from "./zh.ts";

export type { Language, Messages, QualityWord, Side } from "./messages.ts";

export const LANGUAGES = ["en", "zh"] as const satisfies readonly Language[];

export const MESSAGES: Readonly<Record<Language, Messages>> = { en: EN, zh: ZH };
