/** What a caller of `run` wants, checked before anything is touched. */
import { StemmaError } from "../../core/error.ts";
import type { CheckpointID } from "./checkpoint.ts";

/** What a fork changes of the checkpoint that it leaves from. Forms are those of the checkpoint: plain values. */
export type ForkChange = {
  /** Keys of the shared state, in the place of those that are there. */
  readonly state?: Readonly<Record<string, unknown>>;
  /** Gives another value to messages on their way; one is left out where it gives undefined. */
  readonly messages?: (data: unknown, message: { source: string; target?: string }) => unknown;
};

/** The long form of what is run. A message that has only these keys must be wrapped: `{ message: … }`. */
export type RunControl<I = unknown> =
  | { readonly message: I }
  | { readonly responses: Readonly<Record<string, unknown>>; readonly checkpointId?: CheckpointID }
  | { readonly checkpointId: CheckpointID; readonly fork?: ForkChange };

export type RunRequest =
  | { kind: "message"; message: unknown }
  | { kind: "responses"; responses: Readonly<Record<string, unknown>> }
  | {
      kind: "checkpoint";
      checkpointId: CheckpointID;
      responses: Readonly<Record<string, unknown>>;
      fork?: ForkChange;
    };

const keys = ["message", "responses", "checkpointId", "fork"];

/** @throws usage.invalid */
export function requestOf(given: unknown, hasStorage: boolean): RunRequest {
  const refuse = (message: string): never => {
    throw new StemmaError("usage.invalid", message);
  };
  if (given === undefined) return refuse("Must provide at least one of 'message', 'responses', 'checkpointId'.");
  if (!isControl(given)) return { kind: "message", message: given };
  const { message, responses, checkpointId, fork } = given;
  const has = (key: string): boolean => Object.hasOwn(given, key) && given[key] !== undefined;
  const hasMessage = Object.hasOwn(given, "message");
  if (hasMessage && has("responses")) return refuse("Cannot provide both 'message' and 'responses'.");
  if (hasMessage && has("checkpointId")) return refuse("Cannot provide both 'message' and 'checkpointId'.");
  if (has("fork") && !has("checkpointId")) return refuse("A fork needs a 'checkpointId'.");
  if (hasMessage) return { kind: "message", message };
  if (has("responses") && (typeof responses !== "object" || responses === null || Array.isArray(responses))) {
    return refuse("Expected 'responses' to be an object of answers by the ids of their requests.");
  }
  const answers = (responses ?? {}) as Readonly<Record<string, unknown>>;
  if (!has("checkpointId")) {
    if (Object.keys(answers).length === 0)
      return refuse("Must provide at least one of 'message', 'responses', 'checkpointId'; no response was given.");
    return { kind: "responses", responses: answers };
  }
  if (typeof checkpointId !== "string" || checkpointId === "") return refuse("Expected 'checkpointId' to be an id.");
  if (!hasStorage)
    return refuse("Cannot restore from checkpoint: provide checkpointStorage, with run or when the graph is built.");
  const found = { kind: "checkpoint" as const, checkpointId: checkpointId as CheckpointID, responses: answers };
  return fork === undefined ? found : { ...found, fork: fork as ForkChange };
}

function isControl(given: unknown): given is Record<string, unknown> {
  if (typeof given !== "object" || given === null || Object.getPrototypeOf(given) !== Object.prototype) return false;
  const found = Object.keys(given);
  return found.length > 0 && found.every((key) => keys.includes(key));
}
