/** Orchestration patterns: who speaks when, who decides it, and that nobody's turn is taken twice, whatever crashes. */
import { expect, test } from "vitest";
import { components } from "../src/index.ts";
import { concurrent, groupChat, handoff, planAndExecute, sequential } from "../src/graph.ts";
import type { Conversation, HandoffReply, PlanAndExecuteOptions, PlanOutcome, Take, Workflow } from "../src/graph.ts";
import { fakeClock, faults } from "../src/testing.ts";
import { errorOf, fresh, stage, until } from "./stage.ts";

/** What was said, in the order in which the turns were taken. */
type Taken = string[];
const says =
  (name: string, taken: Taken = []): Take<string, string> =>
  (conversation) => {
    const said = `${name} of ${conversation.length}`;
    taken.push(said);
    return said;
  };
const text = (conversation: Conversation | undefined): string =>
  (conversation ?? []).map(({ by, content }) => `${by}: ${content}`).join("; ");

type Make = (taken: Taken) => Workflow<string>;

/**
 * Crashes a durable run of the graph at each of its commits, and has another process go on: what comes out is the same,
 * and a turn that was on record is not taken again. Gives how often there were turns on record and others to come.
 */
async function survives(make: Make): Promise<number> {
  const whole = await make([]).run("task");
  let amid = 0;
  for (let [commit, reached] = [1, true]; reached; commit += 1) {
    reached = false;
    for (const point of ["commit.before", "commit.after"] as const) {
      const [clock, first, taken] = [fakeClock(), faults(fresh()), [] as Taken];
      first.crash(point, commit);
      const graph = make(taken).durable();
      const dying = await stage([graph], { store: first, clock });
      const { id } = await dying.stemma.run(graph, "task");
      const ended = await Promise.race([(await dying.stemma.get(id)).result(), first.crashed]);
      dying.stemma.abandon();
      if (typeof ended !== "string") continue;
      reached = true;
      const before = taken.splice(0);
      const store = first.next();
      await using next = await stage([graph], { store, clock });
      const run = await next.stemma.get(id);
      const successes = JSON.stringify((await run.history()).filter(({ type }) => type === "step.succeeded"));
      const recorded = before.filter((said) => successes.includes(JSON.stringify(said)));
      await clock.advance("15s");
      expect(await run.result(), `${point} ${commit}`).toEqual(whole.outputs);
      expect(
        taken.filter((said) => recorded.includes(said)),
        `${point} ${commit}`,
      ).toEqual([]);
      expect(components(await run.trace())).toBe(1);
      if (recorded.length > 0 && taken.length > 0) amid += 1;
      await store.close();
    }
  }
  return amid;
}

const three = (taken: Taken = []): Workflow<string, Conversation> =>
  sequential({
    name: "three",
    participants: { a: says("a", taken), b: says("b", taken), c: { version: 2, take: says("c", taken) } },
  });

test("one after another, each is given all that was said before", async () => {
  const { outputs } = await three().run("task");
  expect(outputs.map(text)).toEqual(["user: task; a: a of 1; b: b of 2; c: c of 3"]);
});

test("a sequence that crashes at any commit goes on with the next who has not spoken", async () => {
  expect(await survives(three)).toBeGreaterThan(3);
});

test("a sequence without participants is no graph", async () => {
  expect(() => sequential({ name: "none", participants: {} })).toThrow("at least two executors");
});

const together = (taken: Taken = []): Workflow<string, string> =>
  concurrent({
    name: "together",
    participants: { slow: says("slow", taken), quick: says("quick", taken) },
    aggregate: (conversation) => {
      taken.push(text(conversation));
      return text(conversation);
    },
  });

test("side by side nobody sees what another says, and they are put together in the order in which they are listed", async () => {
  const slow: Take<string, string> = async (conversation, { name }) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return `${name} of ${conversation.length}`;
  };
  const graph = concurrent({ name: "two", participants: { slow, quick: says("quick") }, aggregate: text });
  expect((await graph.run("task")).outputs).toEqual(["user: task; slow: slow of 1; quick: quick of 1"]);
  const alone = concurrent({ name: "one", participants: { only: says("only") }, aggregate: text });
  expect((await alone.run("task")).outputs).toEqual(["user: task; only: only of 1"]);
});

test("those side by side that had spoken before a crash do not speak again", async () => {
  expect(await survives(together)).toBeGreaterThan(0);
});

test("who failed beside others is repaired by a restart, and the others are not asked again", async () => {
  const taken: Taken = [];
  let fails = true;
  const bad: Take<string, string> = (conversation) => {
    if (fails) throw new Error("out of credit");
    return says("bad", taken)(conversation, undefined as never);
  };
  const graph = concurrent({
    name: "two",
    participants: { good: says("good", taken), bad },
    aggregate: text,
  }).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "task");
  expect((await errorOf(run.result())).message).toContain("out of credit");
  fails = false;
  const again = await on.stemma.restart(run.id);
  expect(await again.result()).toEqual(["user: task; good: good of 1; bad: bad of 1"]);
  expect(taken).toEqual(["good of 1", "bad of 1"]);
});

const desk = (taken: Taken = []): Workflow<string, Conversation> => {
  const hands = (name: string, to?: string): Take<string, HandoffReply> => {
    return (conversation, turn) => {
      const say = says(name, taken)(conversation, turn) as string;
      return to === undefined ? { say } : { say, to };
    };
  };
  const asks: Take<string, HandoffReply> = (conversation, turn) => {
    const say = says("technical", taken)(conversation, turn) as string;
    return conversation.at(-1)?.by === "user" && conversation.length > 1 ? { say } : { say, to: "user" };
  };
  const triage: Take<string, HandoffReply> = (conversation, turn) =>
    hands("triage", conversation[0]?.content === "slow" ? "technical" : "billing")(conversation, turn);
  return handoff({
    name: "desk",
    participants: { triage, billing: hands("billing"), technical: asks },
    handoffs: { triage: ["billing", "technical"], technical: ["billing"] },
  });
};

test("whoever has the floor hands it over, asks the user and has it again, or ends it", async () => {
  const graph = desk();
  const direct = await graph.run("invoice");
  expect(direct.outputs.map(text)).toEqual(["user: invoice; triage: triage of 1; billing: billing of 2"]);
  const sent = direct.events.filter(({ type }) => type === "data").map(({ data }) => data);
  expect(sent).toEqual([{ name: "handoff_sent", data: { from: "triage", to: "billing" } }]);
  const asked = await graph.run("slow");
  expect(asked).toMatchObject({ status: "suspended", outputs: [] });
  const [request] = asked.requests;
  expect(request).toMatchObject({ executorId: "technical", prompt: "technical of 2" });
  const { outputs } = await graph.run({ responses: { [String(request?.id)]: "2.0" } });
  expect(outputs.map(text)).toEqual([
    "user: slow; triage: triage of 1; technical: technical of 2; user: 2.0; technical: technical of 4",
  ]);
});

test("the floor goes only to whom it may go, and not round for ever", async () => {
  const to = (name: string) => (): HandoffReply => ({ say: "", to: name });
  const strict = handoff({
    name: "strict",
    participants: { a: to("c"), b: to("c"), c: to("a") },
    handoffs: { a: ["b"], b: ["c"] },
  });
  expect((await errorOf(strict.run("task"))).message).toContain("'a' has no route 'c'");
  const round = handoff({ name: "round", participants: { a: to("b"), b: to("a") }, maxTurns: 6 });
  expect((await errorOf(round.run("task"))).message).toContain("did not converge after 7 iterations");
  expect(() => handoff({ name: "lost", participants: { a: to("b"), b: to("a") }, start: "c" })).toThrow(
    "They are: a, b",
  );
});

test("a handoff that crashes at any commit goes on with who has the floor", async () => {
  const graph = (taken: Taken): Workflow<string, Conversation> => {
    const hands = (name: string, to?: string): Take<string, HandoffReply> => {
      return (conversation, turn) => {
        const say = says(name, taken)(conversation, turn) as string;
        return to === undefined ? { say } : { say, to };
      };
    };
    return handoff({ name: "chain", participants: { a: hands("a", "b"), b: hands("b", "c"), c: hands("c") } });
  };
  expect(await survives(graph)).toBeGreaterThan(3);
});

test("who asked the user is not asked for the question again when another process takes the answer", async () => {
  const [clock, store, taken] = [fakeClock(), fresh(), [] as Taken];
  const dying = await stage([desk(taken).durable()], { store, clock });
  const { id } = await dying.stemma.run(desk().durable(), "slow");
  await until(async () => (await dying.stemma.waits()).waits.length === 1);
  dying.stemma.abandon();
  await using next = await stage([desk(taken).durable()], { store, clock });
  const [wait] = (await next.stemma.waits()).waits;
  expect(wait).toMatchObject({ prompt: "technical of 2", kind: "approval" });
  await clock.advance("15s");
  await next.stemma.resume(id, String(wait?.key), "2.0");
  await clock.advance("1s");
  const run = await next.stemma.get(id);
  expect(((await run.result()) as Conversation[]).map(text)).toEqual([
    "user: slow; triage: triage of 1; technical: technical of 2; user: 2.0; technical: technical of 4",
  ]);
  expect(taken).toEqual(["triage of 1", "technical of 2", "technical of 4"]);
});

const debate = (taken: Taken = [], maxRounds = 3): Workflow<string, Conversation> =>
  groupChat({
    name: "debate",
    participants: { pro: says("pro", taken), contra: says("contra", taken) },
    manager: (said) => (said.length > 4 ? null : said.at(-1)?.by === "pro" ? "contra" : "pro"),
    maxRounds,
  });

test("the manager chooses each speaker until enough was said, or the rounds are over", async () => {
  const { outputs, events } = await debate([], 10).run("tabs?");
  expect(outputs.map(text)).toEqual([
    "user: tabs?; pro: pro of 1; contra: contra of 2; pro: pro of 3; contra: contra of 4",
  ]);
  const chosen = events.filter(({ type, executorId }) => type === "data" && executorId === "manager");
  expect(chosen.map(({ data }) => (data as { data: unknown }).data)).toEqual(
    ["pro", "contra", "pro", "contra", null].map((speaker, round) => ({ round, speaker })),
  );
  expect((await debate([], 2).run("tabs?")).outputs.map(text)).toEqual([
    "user: tabs?; pro: pro of 1; contra: contra of 2",
  ]);
});

test("a manager is not asked when the rounds are over, and cannot choose who is not there", async () => {
  let asked = 0;
  const manager = (): string => {
    asked += 1;
    return "a";
  };
  await groupChat({ name: "two", participants: { a: says("a") }, manager, maxRounds: 2 }).run("task");
  expect(asked).toBe(2);
  const nobody = groupChat({ name: "two", participants: { a: says("a") }, manager: () => "b" });
  expect((await errorOf(nobody.run("task"))).message).toContain("'manager' has no route 'b'");
});

test("a group chat that crashes at any commit goes on where it was", async () => {
  expect(await survives(debate)).toBeGreaterThan(3);
});

const work = (
  taken: Taken = [],
  options: Partial<PlanAndExecuteOptions<string, readonly string[]>> = {},
): Workflow<string, PlanOutcome> =>
  planAndExecute({
    name: "work",
    participants: { reader: says("reader", taken), writer: says("writer", taken) },
    plan: ({ replans }) => (replans === 0 ? ["reader", "writer"] : ["writer"]),
    assess: ({ plan, round }) => {
      const next = plan?.[round];
      return next === undefined ? { done: true } : { moving: true, next, instruction: `turn ${round}` };
    },
    ...options,
  });

test("a plan is carried out turn by turn, and the ledger says what came of it", async () => {
  const { outputs } = await work().run("task");
  expect(outputs).toMatchObject([{ ended: "done", plan: ["reader", "writer"], round: 2, stalls: 0, replans: 0 }]);
  expect(text(outputs[0]?.conversation)).toBe(
    "user: task; manager: turn 0; reader: reader of 2; manager: turn 1; writer: writer of 4",
  );
});

test("where nothing moves the plan is made anew, and in the end it is given up", async () => {
  const plans: number[] = [];
  const stuck = work([], {
    plan: ({ replans }) => {
      plans.push(replans);
      return [];
    },
    assess: () => ({ moving: false, next: "reader" }),
    maxStalls: 1,
    maxReplans: 1,
  });
  const { outputs } = await stuck.run("task");
  expect(plans).toEqual([0, 1]);
  // Two turns that bring nothing are one more than may be, with each of the two plans.
  expect(outputs).toMatchObject([{ ended: "stalled", round: 4, replans: 1 }]);
  const endless = work([], { assess: () => ({ moving: true, next: "reader" }), maxRounds: 3 });
  expect((await endless.run("task")).outputs).toMatchObject([{ ended: "out of rounds", round: 3 }]);
});

test("a plan that somebody has to see is changed as they say, and carried out when they let it pass", async () => {
  const plan: PlanAndExecuteOptions<string, readonly string[]>["plan"] = ({ conversation }) =>
    conversation.length === 1 ? ["reader", "writer"] : ["writer"];
  const graph = work([], { review: true, plan });
  const first = await graph.run("task");
  expect(first.requests).toMatchObject([{ prompt: "Is this plan right?", data: { plan: ["reader", "writer"] } }]);
  const answer = (id: string, value: unknown): ReturnType<typeof graph.run> =>
    graph.run({ responses: { [id]: value } });
  expect((await errorOf(answer(String(first.requests[0]?.id), { approve: false }))).message).toContain("comment");
  const second = await answer(String(first.requests[0]?.id), { approve: false, comment: "write at once" });
  expect(second.requests).toMatchObject([{ data: { plan: ["writer"] } }]);
  const { outputs } = await answer(String(second.requests[0]?.id), { approve: true });
  expect(text(outputs[0]?.conversation)).toBe("user: task; user: write at once; manager: turn 0; writer: writer of 3");
});

test("a plan whose process crashes at any commit goes on with the same plan and ledger", async () => {
  expect(await survives(work)).toBeGreaterThan(5);
});

test("participants are what a pattern under the engine is known by", () => {
  const [one, other] = [
    three(),
    sequential({ name: "three", participants: { a: () => "x", b: () => "y", c: () => "z" } }),
  ];
  expect(one.durable().source).not.toBe(other.durable().source);
});
