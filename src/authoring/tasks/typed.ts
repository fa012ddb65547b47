/**
 * What the compiler knows of a graph whose names are written out: which names there are, that dependencies are among
 * them, and what each task puts out. Of steps that are made at run time it knows nothing, and everything is allowed.
 */
import type { TaskResult } from "./step.ts";

type Named = { readonly name: string; readonly dependencies?: readonly string[] };

/** The names of steps; `string` if one of them is not written out. */
export type NamesOf<S extends readonly Named[]> = S[number]["name"];

/** The steps themselves, if what they depend on is there. */
export type CheckedSteps<S extends readonly Named[]> =
  string extends NamesOf<S> ? S : { [K in keyof S]: S[K] extends Named ? CheckedStep<S[K], NamesOf<S>> : S[K] };

type CheckedStep<T extends Named, Names extends string> = T extends {
  readonly dependencies: infer D extends readonly string[];
}
  ? string extends D[number]
    ? T
    : [D[number]] extends [Names]
      ? T
      : Omit<T, "dependencies"> & { readonly dependencies: readonly Names[] }
  : T;

type OutputOf<T> = T extends { run(...given: never[]): Promise<infer R> }
  ? R extends { data?: infer D }
    ? unknown extends D
      ? unknown
      : Exclude<D, undefined>
    : unknown
  : unknown;

/** Results by name. Of names that are written out, each has one. */
export type ResultsOf<S extends readonly Named[]> =
  string extends NamesOf<S>
    ? Map<string, TaskResult>
    : Omit<Map<string, TaskResult>, "get"> & {
        get<N extends NamesOf<S>>(name: N): TaskResult<OutputOf<Extract<S[number], { readonly name: N }>>>;
        get(name: string): TaskResult | undefined;
      };
