/**
 * How the pictures of a trace look, whoever draws them: a colour for each kind of status, and text in which everything
 * can be seen. Fills and inks keep a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3).
 */

/** What a status means to somebody who looks at the picture. */
export type Kind = "good" | "reused" | "bad" | "open" | "gone" | "record" | "other";

const statusesOf: Readonly<Record<Exclude<Kind, "other">, readonly string[]>> = {
  good: ["succeeded", "answered", "resolved", "decided", "ended"],
  reused: ["reused", "overridden"],
  bad: ["failed", "timed_out", "expired", "in_doubt"],
  open: ["queued", "running", "retrying", "suspended", "paused", "waiting"],
  gone: ["cancelled", "withdrawn"],
  record: ["stored", "closed"],
};

export const colours: Readonly<Record<Kind, { fill: string; line: string; ink: string }>> = {
  good: { fill: "#e6f4ea", line: "#1e7d34", ink: "#0b3d17" },
  reused: { fill: "#e7f0fd", line: "#1a5fb4", ink: "#0b2c57" },
  bad: { fill: "#fde8e8", line: "#b3261e", ink: "#5c0f0a" },
  open: { fill: "#fff6db", line: "#9a6b00", ink: "#4a3400" },
  gone: { fill: "#f0f0f0", line: "#767676", ink: "#404040" },
  record: { fill: "#ffffff", line: "#9a9a9a", ink: "#404040" },
  other: { fill: "#ffffff", line: "#404040", ink: "#202020" },
};

const kindOf: ReadonlyMap<string, Kind> = new Map(
  Object.entries(statusesOf).flatMap(([kind, statuses]) => statuses.map((status) => [status, kind as Kind] as const)),
);

export function kindOfStatus(status: string): Kind {
  return kindOf.get(status) ?? "other";
}

/** The text with everything that a reader could not see spelled out as `\u…`, so it is always one line. */
export function seen(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (found) => {
    return `\\u${(found.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
  });
}
