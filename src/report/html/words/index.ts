import type { Language } from "../../messages/index.ts";
import { PAGE_EN } from "./en.ts";
import type { PageWords } from "./words.ts";
import { PAGE_ZH } from "./zh.ts";

export type { PageWords } from "./words.ts";

export const PAGE_WORDS: Readonly<Record<Language, PageWords>> = { en: PAGE_EN, zh: PAGE_ZH };
