/** The summary as it was first written, with a bug that shows when everything has been paid for. */
import type { Finding, Summary } from "./report.ts";
import { summarise } from "./report.ts";

/** Counts packages by licence, and forgets that a licence has no count before it is met for the first time. */
export function summariseAtFirst(findings: readonly Finding[]): Summary {
  const counts = new Map<string, { packages: number }>();
  for (const { licence } of findings) {
    const count = counts.get(licence) as { packages: number };
    count.packages += 1;
  }
  return { ...summarise(findings), packages: findings.length };
}
