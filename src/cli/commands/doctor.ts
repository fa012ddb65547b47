/** `stemma doctor`: looks a store over, and says what is wrong with it and what to do. */
import type { Command } from "commander";
import { isStemmaError } from "../../core/error.ts";
import { limits } from "../../core/limits.ts";
import type { Status } from "../../core/run.ts";
import { isTerminal, statuses } from "../../core/run.ts";
import type { Finding } from "../../store/inspection.ts";
import type { ListQuery } from "../../store/store.ts";
import { examine, findingsOf, newCheckup } from "../checkup.ts";
import type { CommonOptions } from "../store-option.ts";
import type { Looked } from "../place.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import type { Style } from "../terminal.ts";
import { paint, print, printJson, terminalWidth, visible } from "../terminal.ts";
import { wrap } from "../width.ts";

/** Runs that ended cannot stand still; the newest of them are looked at for their size only. */
const endedMax = 10_000;
const styles: Readonly<Record<Finding["level"], Style>> = { ok: "green", warning: "yellow", problem: "red" };
/** Codes of a store that is there and cannot be used: that is what a doctor is called for. */
const unusable: ReadonlySet<string> = new Set([
  "store.corrupt",
  "store.newer",
  "store.not_durable",
  "store.not_writable",
]);

export function addDoctor(program: Command): void {
  const command = program
    .command("doctor")
    .description("look the store over: what is wrong, and what to do; exit code 1 when there is a problem");
  withPlaceOptions(command).action(doctor);
}

async function doctor(options: CommonOptions): Promise<void> {
  await using place = await openPlace(options);
  const { store } = place;
  const seen = await unlessUnusable("store", () => place.inspect());
  // A file that is damaged somewhere may still tell of its runs, one that cannot be opened does not.
  const closed = seen.some(({ check }) => check === "store");
  const named: Finding = { check: "store", level: "ok", message: store.name };
  const findings = closed ? seen : [named, ...seen, ...(await unlessUnusable("runs", () => examineRuns(store)))];
  const ok = findings.every(({ level }) => level !== "problem");
  if (!ok) process.exitCode = 1;
  if (options.json === true) return printJson({ ok, store: store.name, findings });
  const width = terminalWidth();
  print(...findings.flatMap((finding) => findingLines(finding, width)), "", summaryOf(findings));
}

/** What was found; or that it cannot be found out, as a problem of its own. */
async function unlessUnusable(check: string, look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    if (!isStemmaError(error) || !unusable.has(error.code)) throw error;
    return [{ check, level: "problem", message: error.message, data: { code: error.code } }];
  }
}

/** All open runs, and the newest of those that ended. */
async function examineRuns(store: Looked): Promise<Finding[]> {
  const checkup = newCheckup();
  const now = Date.now();
  const read = async (status: readonly Status[], max: number): Promise<boolean> => {
    let [left, cursor]: [number, string | undefined] = [max, undefined];
    do {
      const page = { records: false, limit: limits.pageRunsMax };
      const query: ListQuery = { status, ...page, ...(cursor === undefined ? {} : { cursor }) };
      const found = await store.list(query);
      for (const row of found.runs) examine(checkup, row, now);
      left -= found.runs.length;
      ({ cursor } = found);
    } while (cursor !== undefined && left > 0);
    return cursor !== undefined;
  };
  await read(
    statuses.filter((status) => !isTerminal(status)),
    Infinity,
  );
  const partly = await read(statuses.filter(isTerminal), endedMax);
  return findingsOf(checkup, partly);
}

const levelWidth = 9;
const checkWidth = 13;

/** The level, what was looked at, what was found; below it what to do. */
function findingLines({ check, level, message, advice }: Finding, width: number): string[] {
  // A narrow terminal has no room for columns of their own.
  const indent = " ".repeat(width < 60 ? 2 : levelWidth + checkWidth);
  const places = width - indent.length;
  const head = `${paint(level, styles[level])}${" ".repeat(levelWidth - level.length)}${visible(check)}`;
  const found = wrap(visible(message), places);
  const todo = advice === undefined ? [] : wrap(visible(advice), places - 2);
  const adviceLines = todo.map((line, i) => `${indent}${i === 0 ? "→ " : "  "}${line}`);
  if (width < 60) return [head, ...found.map((line) => `${indent}${line}`), ...adviceLines];
  const [first = "", ...rest] = found;
  const filler = " ".repeat(Math.max(1, checkWidth - check.length));
  return [`${head}${filler}${first}`, ...rest.map((line) => `${indent}${line}`), ...adviceLines];
}

function summaryOf(findings: readonly Finding[]): string {
  const count = (level: Finding["level"]): number => findings.filter((finding) => finding.level === level).length;
  const problems = count("problem");
  const warnings = count("warning");
  const words = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  if (problems + warnings === 0) return paint("Nothing is wrong.", "green");
  return paint(`${words(problems, "problem")}, ${words(warnings, "warning")}`, problems > 0 ? "red" : "yellow");
}
