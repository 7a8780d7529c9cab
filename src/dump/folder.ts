/** What lies in a folder, which may be a stranger's. */

import { type Dirent, opendirSync, statSync } from "node:fs";
import { NpuDiffError, reasonOf } from "../core/errors.ts";

/** Whether `path` is a folder, links followed; false where nothing can be said of it. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** The entries of a folder, by name. Of one that has more than `most`, some `most` + 1 of them: no more are looked at. */
export function entriesOf(folder: string, most: number): readonly Dirent[] {
  const found: Dirent[] = [];
  const entries = opendirSync(folder);
  try {
    while (found.length <= most) {
      const entry = entries.readSync();
      if (entry === null) break;
      found.push(entry);
    }
  } finally {
    entries.closeSync();
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The same of a folder that somebody named.
 *
 * @throws NpuDiffError `file-unreadable`
 */
export function readFolder(folder: string, most: number): readonly Dirent[] {
  try {
    return entriesOf(folder, most);
  } catch (cause) {
    throw new NpuDiffError("file-unreadable", {
      what: "the folder cannot be read",
      facts: [
        { label: "folder", text: folder },
        { label: "cause", text: reasonOf(cause) },
      ],
      help: "check the path and the folder's rights",
      cause,
    });
  }
}
