/** From hand to hand: whoever has the floor says who has it next, asks the user, or ends it. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { StemmaError } from "../../../core/error.ts";
import { WorkflowBuilder } from "../builder.ts";
import type { Executor } from "../executor.ts";
import type { Workflow } from "../workflow.ts";
import { add, conversationOf, opening, over, reducers, taking, user } from "./conversation.ts";
import type { Conversation, Over, Participants, PatternOptions } from "./conversation.ts";

/** What a participant says, and who has the floor then: another, the `user`, or nobody: that is the end. */
export type HandoffReply<C = string> = { readonly say: C; readonly to?: string };

export type HandoffOptions<C> = PatternOptions & {
  readonly participants: Participants<C, HandoffReply<C>>;
  /** Who is given the task. Default: the first. */
  readonly start?: string;
  /** To whom each may hand over. Default: everybody to everybody else. */
  readonly handoffs?: Readonly<Record<string, readonly string[]>>;
  /** What an answer of the user must be. */
  readonly answers?: StandardSchemaV1<unknown, C>;
  /** Turns without an answer of the user between them; then the run fails with graph.not_converged. Default 50. */
  readonly maxTurns?: number;
};

/**
 * A graph in which the floor is handed from one participant to another. One that says something `to: "user"` asks whoever
 * started the run, by a request of the graph (a wait, where it is durable), and has the floor again with the answer. The
 * one output is the whole conversation.
 *
 * @throws graph.invalid (nobody can hand over to a participant, or one is called "input"), name.invalid. Of a run:
 * graph.unknown_route where somebody hands over to whom they may not; graph.not_converged
 * @example
 * const desk = handoff({
 *   name: "desk",
 *   participants: {
 *     triage: ([task]) => ({ say: "one moment", to: /invoice/u.test(task.content) ? "billing" : "technical" }),
 *     billing: () => ({ say: "It is paid." }),
 *     technical: (all) => all.length < 4 ? { say: "Which version?", to: "user" } : { say: "Please update." },
 *   },
 *   handoffs: { triage: ["billing", "technical"] },
 * });
 * const asked = await desk.run("It is slow"); // suspended, with a request
 * const { outputs } = await desk.run({ responses: { [asked.requests[0].id]: "2.0" } });
 */
export function handoff<C = string>(options: HandoffOptions<C>): Workflow<C, Conversation<C>> {
  const { participants, start, handoffs, answers, maxTurns = 50, ...rest } = options;
  const input = opening<C, Conversation<C>>();
  const names = Object.keys(participants);
  const speakers = new Map(
    Object.entries(participants).map(([name, participant]): [string, Executor<Over, Over, Conversation<C>>] => [
      name,
      taking<C, HandoffReply<C>, Conversation<C>>(
        name,
        participant,
        ({ say: content, to }, ctx) => {
          add(ctx, { by: name, content });
          if (to === undefined) ctx.yieldOutput(conversationOf<C>(ctx));
          else if (to === user) ctx.requestInfo({ by: name, content }, { prompt: promptOf(name, content) });
          else {
            ctx.addEvent("handoff_sent", { from: name, to });
            ctx.sendMessage(over(name), { route: to });
          }
        },
        answers,
      ),
    ]),
  );
  let builder = new WorkflowBuilder<C, Conversation<C>>({
    ...rest,
    start: input,
    state: reducers,
    maxSupersteps: maxTurns + 1,
  });
  const named = (name: string): Executor<Over, Over, Conversation<C>> => {
    const found = speakers.get(name);
    if (found !== undefined) return found;
    const message = `Expected a participant of the handoff, got ${JSON.stringify(name)}. They are: ${names.join(", ")}.`;
    throw new StemmaError("graph.invalid", message, { data: { participant: name, participants: names } });
  };
  builder = builder.addRoutes(input, [{ to: named(start ?? names[0] ?? "") }]);
  for (const [name, speaker] of speakers) {
    const others = handoffs === undefined ? names.filter((other) => other !== name) : (handoffs[name] ?? []);
    if (others.length > 0)
      builder = builder.addRoutes(
        speaker,
        others.map((other) => ({ to: named(other) })),
      );
  }
  return builder.build();
}

function promptOf(name: string, content: unknown): string {
  return typeof content === "string" ? content : `${name} asks`;
}
