/**
 * What tasks are given, as canonical text, put together from texts that are at hand: by this a task that is recalled is
 * known again. A text that comes out otherwise than on record costs time and nothing else, for the task is asked for in
 * the usual way then.
 */
import type { Json } from "../../core/json.ts";
import { canonical, encode } from "../../core/json.ts";
import type { TaskResult } from "./step.ts";

/** What the text of an output begins with that says a result and no change of the context. */
const onlyResult = '{"result":';

export class InputTexts {
  #context: { value: Json | undefined; text: string } = { value: undefined, text: "" };
  readonly #results: (string | undefined)[] = [];

  /** The result of a task, by the text of its output. */
  note(task: number, output: string): void {
    if (output.startsWith(onlyResult)) this.#results[task] = output.slice(onlyResult.length, -1);
  }

  /** The text for a task without dependencies, which is given the context and nothing else. */
  bare(context: Json | undefined): string {
    return context === undefined ? "{}" : `{${this.#contextText(context)}}`;
  }

  /**
   * The text for a task with dependencies.
   *
   * @param known those that have a result, by name
   */
  of(context: Json | undefined, known: readonly { name: string; task: number; result: TaskResult }[]): string {
    const sorted = known.length < 2 ? known : known.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const results = sorted.map(({ name, task, result }) => `${canonical(name)}:${this.#resultText(task, result)}`);
    const head = context === undefined ? "" : `${this.#contextText(context)},`;
    return `{${head}"results":{${results.join(",")}}}`;
  }

  #contextText(context: Json): string {
    if (this.#context.value !== context) {
      this.#context = { value: context, text: `"context":${canonical(context)}` };
    }
    return this.#context.text;
  }

  #resultText(task: number, result: TaskResult): string {
    return (this.#results[task] ??= encode(result) ?? "null");
  }
}
