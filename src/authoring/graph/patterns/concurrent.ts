/** Side by side: all participants are given the same task, none sees what another says, and one puts it together. */
import { WorkflowBuilder } from "../builder.ts";
import { executor } from "../executor.ts";
import type { Workflow } from "../workflow.ts";
import { add, conversationOf, knownBy, opening, over, reducers, taking, turnOf } from "./conversation.ts";
import type { Conversation, Over, Participants, PatternContext, PatternOptions, Take } from "./conversation.ts";

export type ConcurrentOptions<C, Y> = PatternOptions & {
  readonly participants: Participants<C>;
  /** Makes the output of the conversation: the task, then what each said, in the order in which they are listed. */
  readonly aggregate: Take<C, Y>;
};

/**
 * A graph in which the participants work on the task at the same time, each as a step of its own, and `aggregate` (an
 * executor of that name) makes the one output of what they said. A participant that failed is run again by a restart;
 * those beside it are not.
 *
 * @throws graph.invalid (no participants, or one called "input" or "aggregate"), name.invalid
 * @example
 * const estimate = concurrent({
 *   name: "estimate",
 *   participants: { optimist: () => 3, pessimist: () => 8 },
 *   aggregate: ([, ...said]) => said.reduce((sum, { content }) => sum + content, 0) / said.length,
 * });
 * const { outputs: [days] } = await estimate.run(0); // 5.5
 */
export function concurrent<C = string, Y = Conversation<C>>(options: ConcurrentOptions<C, Y>): Workflow<C, Y> {
  const { participants, aggregate, ...rest } = options;
  const input = opening<C, Y>();
  const workers = Object.entries(participants).map(([name, participant]) =>
    taking<C, C, Y>(name, participant, (content, ctx) => {
      add(ctx, { by: name, content });
      ctx.sendMessage(over(name));
    }),
  );
  const together = executor<unknown, Over, Y>(
    "aggregate",
    knownBy(aggregate, async (_: unknown, ctx: PatternContext<Y>) => {
      ctx.yieldOutput(await aggregate(conversationOf<C>(ctx), turnOf("aggregate", ctx)));
    }),
  );
  const builder = new WorkflowBuilder<C, Y>({ ...rest, start: input, state: reducers, maxSupersteps: 3 });
  const [only, ...others] = workers;
  // Where there is one, there is nothing to wait for.
  if (only !== undefined && others.length === 0) return builder.addChain([input, only, together]).build();
  return builder.addFanOutEdges(input, workers).addFanInEdges(workers, together).build();
}
