/**
 * Along a plan: a planner makes it, a manager assesses after each turn what came of it and says who does what next, and
 * where nothing moves any more the plan is made anew. What is known of the progress is one ledger. After the outer and
 * inner loop of Fourney et al., "Magentic-One: A Generalist Multi-Agent System for Solving Complex Tasks", 2024.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { WorkflowBuilder } from "../builder.ts";
import { executor, responseHandler } from "../executor.ts";
import type { Executor } from "../executor.ts";
import type { Workflow } from "../workflow.ts";
import { add, knownBy, opening, over, reducers, taking, turnOf, user } from "./conversation.ts";
import type { Over, Participants, PatternContext, PatternOptions, Turn } from "./conversation.ts";
import type { Ledger, PlanOutcome, PlanReview, Progress } from "./ledger.ts";
import { keptOf, ledgerOf, stallsOf } from "./ledger.ts";

export type PlanAndExecuteOptions<C, P> = PatternOptions & {
  readonly participants: Participants<C>;
  /** Makes the plan, and makes it anew where the ledger says that it did not work, or the user that it is not right. */
  readonly plan: (ledger: Ledger<C, P>, turn: Turn) => P | Promise<P>;
  readonly assess: (ledger: Ledger<C, P>, turn: Turn) => Progress<C> | Promise<Progress<C>>;
  /** Whether each plan is put before whoever started the run. Default false. */
  readonly review?: boolean;
  /** Turns of participants altogether. Default 20. */
  readonly maxRounds?: number;
  /** Turns that may bring nothing before the plan is made anew. Default 2. */
  readonly maxStalls?: number;
  /** Default 2. */
  readonly maxReplans?: number;
};

type Bounds = { maxRounds: number; maxStalls: number; maxReplans: number };
/**
 * A graph of a planner, a manager and participants. Each plan, each assessment and each turn is a step of its own; the
 * one output is the ledger, with how it ended.
 *
 * @throws graph.invalid (no participants, or one called "input", "planner" or "manager"), name.invalid. Of a run:
 * graph.unknown_route where the manager chose somebody who is not there
 * @example
 * const research = planAndExecute({
 *   name: "research",
 *   participants: { reader: (all) => read(all.at(-1).content), writer: (all) => summarize(all) },
 *   plan: ({ conversation: [task] }) => ["read about " + task.content, "write it down"],
 *   assess: ({ plan, round }) =>
 *     round >= plan.length ? { done: true } : { moving: true, next: ["reader", "writer"][round], instruction: plan[round] },
 * });
 * const { outputs: [ledger] } = await research.run("ants"); // ledger.ended is "done"
 */
export function planAndExecute<C = string, P = readonly string[]>(
  options: PlanAndExecuteOptions<C, P>,
): Workflow<C, PlanOutcome<C, P>> {
  const {
    participants,
    plan,
    assess,
    review = false,
    maxRounds = 20,
    maxStalls = 2,
    maxReplans = 2,
    ...rest
  } = options;
  type Y = PlanOutcome<C, P>;
  const input = opening<C, Y>();
  const planner = planning<C, P>(plan, review) as Executor<Over, Over, Y>;
  const manager = managing<C, P>(assess, { maxRounds, maxStalls, maxReplans });
  const workers = Object.entries(participants).map(([name, participant]) =>
    taking<C, C, Y>(name, participant, (content, ctx) => {
      add(ctx, { by: name, content });
      ctx.sendMessage(over(name));
    }),
  );
  const maxSupersteps = 2 * maxRounds + 2 * maxReplans + 4;
  let builder = new WorkflowBuilder<C, Y>({ ...rest, start: input, state: reducers, maxSupersteps })
    .addChain([input, planner, manager])
    .addRoutes(
      manager,
      [planner, ...workers].map((to) => ({ to })),
    );
  for (const worker of workers) builder = builder.addEdge(worker, manager);
  return builder.build();
}

function planning<C, P>(plan: PlanAndExecuteOptions<C, P>["plan"], review: boolean): Executor<Over, Over, never> {
  const make = async (ctx: PatternContext<never>): Promise<void> => {
    const made = await plan(ledgerOf<C, P>(ctx), turnOf("planner", ctx));
    ctx.setState("ledger", { ...keptOf<C, P>(ctx), plan: made, stalls: 0 });
    if (review) ctx.requestInfo({ plan: made }, { prompt: "Is this plan right?" });
    else ctx.sendMessage(over("planner"));
  };
  const onResponse = responseHandler<unknown, PlanReview<C>, Over>({ response: reviewed<C>() }, (_, answer, ctx) => {
    if (answer.approve) return ctx.sendMessage(over("planner"));
    add(ctx, { by: user, content: answer.comment });
    return make(ctx);
  });
  return executor<Over, Over>(
    "planner",
    { onResponse },
    knownBy(plan, (_: Over, ctx) => make(ctx)),
  );
}

function managing<C, P>(
  assess: PlanAndExecuteOptions<C, P>["assess"],
  bounds: Bounds,
): Executor<Over, Over, PlanOutcome<C, P>> {
  const run = async (_: Over, ctx: PatternContext<PlanOutcome<C, P>>): Promise<void> => {
    const worked = !ctx.sourceExecutorIds.includes("planner");
    const before = ledgerOf<C, P>(ctx);
    const ledger = { ...before, round: before.round + (worked ? 1 : 0) };
    const progress = await assess(ledger, turnOf("manager", ctx));
    const { conversation, ...kept } = { ...ledger, progress, stalls: stallsOf(ledger, progress, worked) };
    ctx.setState("ledger", kept);
    ctx.addEvent("progress", kept);
    const end = (ended: PlanOutcome["ended"]): void => ctx.yieldOutput({ ...kept, conversation, ended });
    if (progress.done === true) return end("done");
    if (kept.round >= bounds.maxRounds) return end("out of rounds");
    if (kept.stalls > bounds.maxStalls) {
      if (kept.replans >= bounds.maxReplans) return end("stalled");
      ctx.setState("ledger", { ...kept, replans: kept.replans + 1 });
      return ctx.sendMessage(over("manager"), { route: "planner" });
    }
    if (progress.instruction !== undefined) add(ctx, { by: "manager", content: progress.instruction });
    return ctx.sendMessage(over("manager"), { route: progress.next });
  };
  return executor<Over, Over, PlanOutcome<C, P>>("manager", knownBy(assess, run));
}

function reviewed<C>(): StandardSchemaV1<unknown, PlanReview<C>> {
  const validate = (value: unknown): StandardSchemaV1.Result<PlanReview<C>> => {
    const { approve, comment } = (value ?? {}) as { approve?: unknown; comment?: unknown };
    if (approve === true || (approve === false && comment !== undefined)) return { value: value as PlanReview<C> };
    return { issues: [{ message: "Expected { approve: true }, or { approve: false, comment }." }] };
  };
  return { "~standard": { version: 1, vendor: "stemma", validate } };
}
