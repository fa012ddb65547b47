/** One after another: each participant is given all that was said before it, and adds to it. */
import { WorkflowBuilder } from "../builder.ts";
import type { Workflow } from "../workflow.ts";
import { add, conversationOf, opening, over, reducers, taking } from "./conversation.ts";
import type { Conversation, Participants, PatternOptions } from "./conversation.ts";

export type SequentialOptions<C> = PatternOptions & {
  readonly participants: Participants<C>;
};

/**
 * A graph in which the participants speak one after another, in the order in which they are listed. Its input is the
 * task, its one output the whole conversation.
 *
 * @throws graph.invalid (no participants, or one with the name of an executor of the pattern), name.invalid
 * @example
 * const article = sequential({
 *   name: "article",
 *   participants: {
 *     writer: ([task]) => write(task.content),
 *     editor: (conversation) => improve(conversation.at(-1).content),
 *   },
 * });
 * const { outputs: [conversation] } = await article.run("Ants"); // said by user, writer and editor
 */
export function sequential<C = string>(options: SequentialOptions<C>): Workflow<C, Conversation<C>> {
  const { participants, ...rest } = options;
  const input = opening<C, Conversation<C>>();
  const names = Object.keys(participants);
  const speakers = Object.entries(participants).map(([name, participant]) =>
    taking<C, C, Conversation<C>>(name, participant, (content, ctx) => {
      add(ctx, { by: name, content });
      if (name === names.at(-1)) ctx.yieldOutput(conversationOf<C>(ctx));
      else ctx.sendMessage(over(name));
    }),
  );
  const maxSupersteps = speakers.length + 1;
  return new WorkflowBuilder<C, Conversation<C>>({ ...rest, start: input, state: reducers, maxSupersteps })
    .addChain([input, ...speakers])
    .build();
}
