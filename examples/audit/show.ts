/** What the demonstration prints at its end: the licences, the trace, the figures, and how to look further. */
import { relative } from "node:path";
import { styleText } from "node:util";
import type { Figures } from "./figures.ts";
import type { Flag, Summary } from "./report.ts";
import type { StorePlace } from "./store.ts";
import { table } from "./table.ts";

const flagsShownMax = 5;

export function heading(text: string): string {
  return `\n${styleText("bold", text)}`;
}

/** Licences by number of packages, then what needs a person's eye. */
export function summaryLines(summary: Summary): string[] {
  const share = (packages: number): string => `${Math.round((packages / summary.packages) * 100)} %`.padStart(5);
  const flags = (title: string, list: Summary["unknown"], note: (one: Flag) => string): string[] => [
    `  ${title}: ${list.length}`,
    ...list.slice(0, flagsShownMax).map((one) => `    ${one.package}: ${note(one)}`),
    ...(list.length > flagsShownMax ? [`    and ${list.length - flagsShownMax} more in the report`] : []),
  ];
  return [
    ...table(
      ["Licence", "Packages", "Share"],
      summary.byLicence.map(({ licence, packages }) => [licence, packages, share(packages)]),
    ),
    "",
    ...flags("unknown", summary.unknown, ({ declared }) => `declared ${declared ?? "nothing"}`),
    ...flags("conflicting", summary.conflicting, ({ declared, licence }) => `declared ${declared}, found ${licence}`),
    ...flags("declared without a recognised text", summary.withoutText, ({ licence }) => licence),
  ];
}

export function figureLines(found: Figures): string[] {
  const percent = Math.round((found.chargedBeforeCrash / found.charged) * 100);
  return table(
    ["Figure", "Value"],
    [
      ["packages audited", found.packages],
      ["packages charged", found.charged],
      ["charged twice", found.chargedTwice],
      ["requests to the paid service", found.requests],
      ["paid requests repeated", found.repeated],
      [`charged before the crash (${percent} %)`, found.chargedBeforeCrash],
      ["workers killed with SIGKILL", found.crashes],
      ["connected components of the trace", found.components],
      ["reports published", found.publications],
      ["requests for the restart", found.restartRequests],
      ["packages that the fork was to ask about", found.forkPlanned],
      ["packages that it asked about", found.forkRequests],
    ],
  );
}

/** How to look at the run: commands to be typed where the demonstration was started, or calls, and the reports. */
export function nextCommands(run: string, place: StorePlace, reports: readonly string[]): string[] {
  return [...lookAt(run, place), ...reports.map((report) => `  less ${here(report)}`)];
}

/** The command line takes a file only; a program takes any store. */
function lookAt(run: string, place: StorePlace): string[] {
  if ("file" in place) return ["show", "trace"].flatMap((command) => commandFor([command, run], place));
  if (!place.lasts) return [];
  return [
    `  new Stemma({ store: postgres({ url, schema: ${JSON.stringify(place.schema)} }) }).trace(${JSON.stringify(run)})`,
  ];
}

/** What a person who answers the question of a run would type, or a program call. */
export function answerCommand(run: string, wait: string, answer: unknown, place: StorePlace): string {
  const value = JSON.stringify(answer);
  if ("file" in place) {
    return `  npx stemma resume ${run} ${wait} --value '${value}' --by you --store ${here(place.file)}`;
  }
  return `  await stemma.resume(${JSON.stringify(run)}, ${JSON.stringify(wait)}, ${value}, { by: "you" })`;
}

/** A command on a store in a file, as one types it; none for another store, which the command line does not open. */
export function commandFor(words: readonly string[], place: StorePlace): string[] {
  return "file" in place ? [`  npx stemma ${words.join(" ")} --store ${here(place.file)}`] : [];
}

/** A path as one types it here: short if it is below, and quoted for a shell where it has to be. */
function here(path: string): string {
  const below = relative(process.cwd(), path);
  const text = below.startsWith("..") ? path : below;
  return /^[\w./@:-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
