/** Whether a folder is on a disk: what is synced into memory is not synced to anything. */
import { statfsSync } from "node:fs";

/** Types of `statfs` that are memory. */
const memoryTypes: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** Throws for a folder in memory. */
export function expectOnDisk(folder: string): void {
  if (!memoryTypes.has(statfsSync(folder).type)) return;
  throw new Error(`Expected a folder on a disk, ${folder} is in memory. Choose another with --dir.`);
}
