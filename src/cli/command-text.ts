/** Commands as people type them. */
import { shownStore } from "./store-option.ts";
import { shellWord } from "./terminal.ts";

/**
 * The words of a command, quoted where a shell needs it, for the store that was named.
 *
 * @example commandText(["show", "run_…"], { store: "my runs.db" }); // "stemma show run_… --store 'my runs.db'"
 */
export function commandText(words: readonly string[], { store }: { store?: string | undefined } = {}): string {
  return ["stemma", ...words, ...(store === undefined ? [] : ["--store", shownStore(store)])].map(shellWord).join(" ");
}
