/** How statuses look: the glyph, the colour and the words of each, the same in every command. */
import { formatDuration } from "../core/duration.ts";
import type { Style } from "./terminal.ts";

type Look = { glyph: string; style: Style };

const looks: Readonly<Record<string, Look>> = {
  queued: { glyph: "○", style: "dim" },
  running: { glyph: "▶", style: "cyan" },
  retrying: { glyph: "↻", style: "yellow" },
  suspended: { glyph: "◷", style: "yellow" },
  paused: { glyph: "‖", style: "yellow" },
  waiting: { glyph: "◷", style: "yellow" },
  succeeded: { glyph: "✔", style: "green" },
  answered: { glyph: "◆", style: "green" },
  reused: { glyph: "↺", style: "blue" },
  overridden: { glyph: "✎", style: "blue" },
  decided: { glyph: "◆", style: "blue" },
  in_doubt: { glyph: "?", style: "magenta" },
  failed: { glyph: "✖", style: "red" },
  timed_out: { glyph: "✖", style: "red" },
  expired: { glyph: "✖", style: "red" },
  cancelled: { glyph: "⊘", style: "dim" },
  withdrawn: { glyph: "⊘", style: "dim" },
};

export function lookOf(status: string): Look {
  return looks[status] ?? { glyph: "·", style: "dim" };
}

/** A status as people read it: `timed out`, `in doubt`. */
export function wordsOf(status: string): string {
  return status.replaceAll("_", " ");
}

/** Local time to the second, `2026-11-21 04:51:17`. */
export function timeText(at: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "unknown";
  const two = (n: number): string => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** How a time lies to now: `in 2h`, `3m 5s ago`, `now`. */
export function relativeText(at: number, now: number): string {
  const ms = at - now;
  if (Math.abs(ms) < 1000) return "now";
  return ms > 0 ? `in ${formatDuration(ms)}` : `${formatDuration(-ms)} ago`;
}

const units = ["B", "kB", "MB", "GB"] as const;

/** A number of bytes for people, in powers of 1000: `5.0 kB`. */
export function bytesText(bytes: number): string {
  let [size, unit] = [bytes, 0];
  while (size >= 999.95 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  return unit === 0 ? `${bytes} B` : `${size.toFixed(1)} ${units[unit]}`;
}
