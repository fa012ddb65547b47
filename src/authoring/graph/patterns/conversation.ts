/**
 * What all patterns have in common: a conversation that is kept in the shared state, to which each participant adds what
 * it says, and participants that are plain functions. What they call to find their words is their own business.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { WorkflowContext } from "../context.ts";
import type { Executor, ExecutorStepOptions } from "../executor.ts";
import { executor, responseHandler } from "../executor.ts";
import type { Reducers } from "../shared-state.ts";

/** One contribution: who it is by, and what it says. */
export type Said<C = string> = { readonly by: string; readonly content: C };

export type Conversation<C = string> = readonly Said<C>[];

/** What a participant is given besides the conversation. */
export type Turn = Pick<WorkflowContext, "runId" | "idempotencyKey" | "attempt" | "abort"> & {
  /** The name of the participant whose turn it is. */
  readonly name: string;
  /** Tells those who follow the run of something on the way. */
  emit(name: string, data?: unknown): void;
};

/** Takes its turn: what `R` is, is said by the pattern. */
export type Take<C, R> = (conversation: Conversation<C>, turn: Turn) => R | Promise<R>;

/** A participant: a function, or one with what it means to run it twice. */
export type Participant<C, R = C> = Take<C, R> | (ExecutorStepOptions & { readonly take: Take<C, R> });

/** Participants by their names, in the order in which they are listed. */
export type Participants<C, R = C> = Readonly<Record<string, Participant<C, R>>>;

/** What all patterns take. */
export type PatternOptions = {
  readonly name: string;
  readonly description?: string;
};

/** The name that the task is said by, and the answers of whoever started the run. */
export const user = "user";

/** A message of a pattern says only whose turn it was: what was said is in the shared state, once. */
export type Over = { readonly over: string };

export const over = (name: string): Over => ({ over: name });

/** How the shared state of a pattern takes what is said. */
export const reducers: Reducers = { conversation: "append" };

export type PatternContext<Y> = WorkflowContext<Over, Y>;

export function conversationOf<C>(ctx: Pick<WorkflowContext, "getState">): Conversation<C> {
  return (ctx.getState("conversation") ?? []) as Conversation<C>;
}

export function add<C>(ctx: Pick<WorkflowContext, "setState">, said: Said<C>): void {
  ctx.setState("conversation", said);
}

/** The executor that begins a pattern: what the run was given becomes what the user says. */
export function opening<C, Y>(): Executor<C, Over, Y> {
  return executor<C, Over, Y>("input", (content, ctx) => {
    add(ctx, { by: user, content });
    ctx.sendMessage(over(user));
  });
}

/**
 * An executor that has a participant take its turn, and then does with it what the pattern says.
 *
 * @param answers of the user to what `done` asked; the participant takes another turn with them
 */
export function taking<C, R, Y>(
  name: string,
  participant: Participant<C, R>,
  done: (result: R, ctx: PatternContext<Y>) => void,
  answers?: StandardSchemaV1<unknown, C>,
): Executor<Over, Over, Y> {
  const { take, ...options } = typeof participant === "function" ? { take: participant } : participant;
  const turn = async (ctx: PatternContext<Y>): Promise<void> =>
    done(await take(conversationOf<C>(ctx), turnOf(name, ctx)), ctx);
  const onResponse = responseHandler<unknown, C, Over, Y>(
    answers === undefined ? {} : { response: answers },
    (_, content, ctx) => {
      add(ctx, { by: user, content });
      return turn(ctx);
    },
  );
  return executor<Over, Over, Y>(
    name,
    { ...options, onResponse },
    knownBy(take, (_: Over, ctx) => turn(ctx)),
  );
}

/** What a graph under the engine is known by is the text of its handlers; that of a pattern's is whose work it does. */
export function knownBy<T extends (message: never, ctx: never) => unknown>(work: unknown, run: T): T {
  return Object.assign(run, { toString: () => String(work) });
}

export function turnOf<Y>(name: string, ctx: PatternContext<Y>): Turn {
  const { runId, idempotencyKey, attempt, abort } = ctx;
  return { name, runId, idempotencyKey, attempt, abort, emit: (event, data) => ctx.addEvent(event, data) };
}
