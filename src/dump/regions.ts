/** Runs of bytes in a file, and how to read many of them in few reads. */

/** A run of bytes in the file. */
export interface Region {
  readonly position: number;
  readonly length: number;
}

/** Gaps up to a page are cheaper read than skipped. */
const MAX_GAP = 4096;

export interface Group extends Region {
  readonly regions: readonly Region[];
}

/** Gathers regions that lie close together, so that each group is one read. */
export function neighbours(regions: readonly Region[]): Group[] {
  const groups: { position: number; length: number; regions: Region[] }[] = [];
  for (const region of regions.toSorted((a, b) => a.position - b.position)) {
    const last = groups.at(-1);
    if (last !== undefined && region.position <= last.position + last.length + MAX_GAP) {
      last.length = Math.max(last.length, region.position + region.length - last.position);
      last.regions.push(region);
    } else {
      groups.push({ ...region, regions: [region] });
    }
  }
  return groups;
}
