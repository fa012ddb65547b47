/** Commands as people type them. */
import { shownStore } from "./store-option.ts";
import { shellWord } from "./terminal.ts";

/**
 * The words of a command, quoted where a shell needs it, for the store or server that was named.
 *
 * @example commandText(["show", "run_…"], { store: "my runs.db" }); // "stemma show run_… --store 'my runs.db'"
 */
export function commandText(
  words: readonly string[],
  { store, server }: { store?: string | undefined; server?: string | undefined } = {},
): string {
  const named = [
    ...(store === undefined ? [] : ["--store", shownStore(store)]),
    ...(server === undefined ? [] : ["--server", server]),
  ];
  return ["stemma", ...words, ...named].map(shellWord).join(" ");
}
