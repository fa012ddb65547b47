/** Around a table: a manager says who speaks next, sees what was said, and chooses again, so many times and no more. */
import { WorkflowBuilder } from "../builder.ts";
import type { Workflow } from "../workflow.ts";
import { add, conversationOf, knownBy, opening, over, reducers, taking, user } from "./conversation.ts";
import type { Conversation, Participant, Participants, PatternOptions } from "./conversation.ts";

export type GroupChatOptions<C> = PatternOptions & {
  readonly participants: Participants<C>;
  /** Gives the name of whoever speaks next, or null where enough was said. */
  readonly manager: Participant<C, string | null>;
  /** How often somebody may speak; the conversation ends then, whatever the manager says. Default 20. */
  readonly maxRounds?: number;
};

/**
 * A graph in which a manager (an executor of that name) chooses each speaker. Its choice is a step like a turn, so a run
 * that goes on after a crash goes on with the same one. The one output is the whole conversation.
 *
 * @throws graph.invalid (no participants, or one called "input" or "manager"), name.invalid. Of a run:
 * graph.unknown_route where the manager chose somebody who is not there
 * @example
 * const debate = groupChat({
 *   name: "debate",
 *   participants: { pro: () => "yes", contra: () => "no" },
 *   manager: (said) => (said.length > 6 ? null : said.at(-1)?.by === "pro" ? "contra" : "pro"),
 *   maxRounds: 10,
 * });
 * const { outputs: [conversation] } = await debate.run("Tabs?");
 */
export function groupChat<C = string>(options: GroupChatOptions<C>): Workflow<C, Conversation<C>> {
  const { participants, manager, maxRounds = 20, ...rest } = options;
  const input = opening<C, Conversation<C>>();
  const speakers = Object.entries(participants).map(([name, participant]) =>
    taking<C, C, Conversation<C>>(name, participant, (content, ctx) => {
      add(ctx, { by: name, content });
      ctx.sendMessage(over(name));
    }),
  );
  const { take, ...known } = typeof manager === "function" ? { take: manager } : manager;
  const rounds = (said: Conversation<C>): number => said.filter(({ by }) => by !== user).length;
  const isOver = (said: Conversation<C>): boolean => rounds(said) >= maxRounds;
  // Who cannot choose any more is not asked: to ask may cost something.
  const choose: typeof take = (said, turn) => (isOver(said) ? null : take(said, turn));
  const chair = taking<C, string | null, Conversation<C>>(
    "manager",
    { ...known, take: knownBy(take, choose) },
    (speaker, ctx) => {
      const said = conversationOf<C>(ctx);
      ctx.addEvent("group_chat", { round: rounds(said), speaker });
      if (speaker === null) ctx.yieldOutput(said);
      else ctx.sendMessage(over("manager"), { route: speaker });
    },
  );
  const maxSupersteps = 2 * maxRounds + 2;
  let builder = new WorkflowBuilder<C, Conversation<C>>({ ...rest, start: input, state: reducers, maxSupersteps })
    .addEdge(input, chair)
    .addRoutes(
      chair,
      speakers.map((speaker) => ({ to: speaker })),
    );
  for (const speaker of speakers) builder = builder.addEdge(speaker, chair);
  return builder.build();
}
