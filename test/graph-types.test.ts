/** What an editor knows of a message graph: which executors an edge can join, and what goes in and comes out. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { z } from "zod";
import { Case, Default, executor, factory, WorkflowBuilder, WorkflowExecutor } from "../src/graph.ts";
import type { Executor, Node, Route, WorkflowContext } from "../src/graph.ts";

type To<O> = WorkflowContext<O>;
type Out<Y> = WorkflowContext<never, Y>;

const both = executor("both", (_: string, ctx: To<string | number>) => ctx.sendMessage(1));
const texts = executor("texts", (_: string, ctx: To<string>) => ctx.sendMessage("x"));
const sizes = executor("sizes", (text: string, ctx: To<number>) => ctx.sendMessage(text.length));
const readsText = executor("readsText", (text: string, ctx: Out<string>) => ctx.yieldOutput(text));
const readsNumber = executor("readsNumber", (n: number, ctx: Out<number>) => ctx.yieldOutput(n));
const readsOrder = executor("readsOrder", (order: { id: string }) => void order.id);
const readsAny = executor("readsAny", (_message: unknown) => undefined);
const readsTexts = executor("readsTexts", (list: string[]) => void list.length);
const readsMixed = executor("readsMixed", (list: (string | number)[]) => void list.length);
const readsEither = executor("readsEither", (list: string[] | number[]) => void list.length);

const from = <I, O, Y>(start: Executor<I, O, Y>): WorkflowBuilder<I, Y> =>
  new WorkflowBuilder({ name: "types", start });

const made = factory(() => readsNumber);

// Only whether they compile is looked at, so none of the functions is called.
describe("an edge whose target can take nothing that is sent does not compile", () => {
  it("one edge", () => {
    const edges = [
      () => from(texts).addEdge(texts, readsText).addEdge(texts, readsAny).addEdge(both, readsNumber),
      // @ts-expect-error a string is never a number
      () => from(texts).addEdge(texts, readsNumber),
      // @ts-expect-error nor an object
      () => from(texts).addEdge(texts, readsOrder),
      // @ts-expect-error it sends nothing at all
      () => from(readsText).addEdge(readsText, readsText),
      // A join makes a list of what came.
      () => from(texts).addEdge(texts, readsTexts).addJoin(readsTexts),
      // @ts-expect-error a list of numbers is none of texts
      () => from(sizes).addEdge(sizes, readsTexts).addJoin(readsTexts),
      // @ts-expect-error factories are looked into too
      () => from(texts).addEdge(texts, made),
      // The predicate is asked about what the source sends.
      () => from(both).addEdge(both, readsText, (message) => typeof message === "string"),
      // @ts-expect-error which is never a boolean
      () => from(both).addEdge(both, readsText, (message: boolean) => message),
    ];
    expect(edges).not.toHaveLength(0);
  });

  it("fan-out and multi-selection", () => {
    const edges = [
      () => from(both).addFanOutEdges(both, [readsText, readsNumber, readsAny]),
      // @ts-expect-error a number is no text
      () => from(sizes).addFanOutEdges(sizes, [readsNumber, readsText]),
      () => from(both).addMultiSelectionEdges(both, [readsText, readsNumber], (message) => [String(message)]),
      // @ts-expect-error a number is no text
      () => from(sizes).addMultiSelectionEdges(sizes, [readsNumber, readsText], () => []),
      // @ts-expect-error the selection is asked about what the source sends
      () => from(sizes).addMultiSelectionEdges(sizes, [readsNumber], (message: string) => [message]),
      // Of nodes whose types are not known nothing is said.
      (targets: Node[] = []) => from(sizes).addFanOutEdges(sizes, targets),
    ];
    expect(edges).not.toHaveLength(0);
  });

  it("switch-case", () => {
    const edges = [
      () => from(both).addSwitchCaseEdges(both, [Case((m) => typeof m === "string", readsText), Default(readsNumber)]),
      () => from(sizes).addSwitchCaseEdges(sizes, [Case((n) => n.toFixed() === "1", readsNumber), Default(readsAny)]),
      // @ts-expect-error a number is no text
      () => from(sizes).addSwitchCaseEdges(sizes, [Case((n: number) => n > 1, readsText), Default(readsNumber)]),
      // @ts-expect-error nor by default
      () => from(sizes).addSwitchCaseEdges(sizes, [Case((n: number) => n > 1, readsNumber), Default(readsText)]),
      // @ts-expect-error the predicate is asked about what the source sends
      () => from(sizes).addSwitchCaseEdges(sizes, [Case((m: string) => m === "", readsNumber), Default(readsNumber)]),
    ];
    expect(edges).not.toHaveLength(0);
  });

  it("routes, where it is no way for failures", () => {
    const edges = [
      () =>
        from(both).addRoutes(both, [
          { to: readsText, when: (m) => m === "x" },
          { to: readsNumber, otherwise: true },
        ]),
      // @ts-expect-error a number is no text
      () => from(sizes).addRoutes(sizes, [{ to: readsText }]),
      () => from(sizes).addRoutes(sizes, [{ to: readsNumber }, { to: readsText, onFailure: true }]),
      // Of routes whose types are not known nothing is said.
      (routes: Route<number>[] = []) => from(sizes).addRoutes(sizes, routes),
    ];
    expect(edges).not.toHaveLength(0);
  });

  it("fan-in: the target takes a list in which something of each source may be", () => {
    const edges = [
      () => from(both).addFanInEdges([texts, sizes], readsMixed).addFanInEdges([texts, both], readsTexts),
      () => from(both).addFanInEdges([texts, sizes], readsAny),
      // @ts-expect-error a number is always in it
      () => from(both).addFanInEdges([texts, sizes], readsTexts),
      // @ts-expect-error and a text, so neither of the two lists comes
      () => from(both).addFanInEdges([texts, sizes], readsEither),
      // @ts-expect-error it is no list
      () => from(both).addFanInEdges([texts, texts], readsText),
    ];
    expect(edges).not.toHaveLength(0);
  });

  it("chain: each takes something of the one before", () => {
    const edges = [
      () => from(texts).addChain([texts, sizes, readsNumber]),
      // @ts-expect-error a text is no number
      () => from(texts).addChain([texts, readsNumber]),
      // @ts-expect-error nor further on
      () => from(texts).addChain([texts, texts, sizes, readsText]),
      (nodes: Node[] = []) => from(texts).addChain([texts, ...nodes]),
    ];
    expect(edges).not.toHaveLength(0);
  });

  it("a graph inside", () => {
    const inner = from(readsNumber).build();
    const edges = [
      () => from(sizes).addEdge(sizes, new WorkflowExecutor(inner, "inner")),
      // @ts-expect-error its start takes numbers
      () => from(texts).addEdge(texts, new WorkflowExecutor(inner, "inner")),
      // @ts-expect-error and what it yields are numbers
      () => from(sizes).addChain([sizes, new WorkflowExecutor(inner, "inner"), readsText]),
    ];
    expect(edges).not.toHaveLength(0);
  });
});

it("what goes in is what the start takes, what comes out what executors yield; a schema says it as well as a type", () => {
  const typed = executor("typed", { input: z.object({ id: z.string() }) }, ({ id }, ctx: Out<string>) =>
    ctx.yieldOutput(id),
  );
  const graph = from(typed).build();
  expectTypeOf(graph.run).toBeCallableWith({ id: "a" });
  expectTypeOf(graph.run({ id: "a" })).resolves.toHaveProperty("outputs");
  const outputs = async (): Promise<readonly string[]> => (await graph.run({ id: "a" })).outputs;
  // @ts-expect-error an order has an id
  const wrong = (): unknown => graph.run({ name: "a" });
  expect([outputs, wrong]).toHaveLength(2);
});

it("what comes out is what any executor of the graph yields, by whatever edge it was named", () => {
  type Outputs<B extends { build(): { run(input: never): Promise<{ outputs: unknown }> } }> = Awaited<
    ReturnType<ReturnType<B["build"]>["run"]>
  >["outputs"];
  const one = () => from(texts).addEdge(texts, readsText);
  expectTypeOf<Outputs<ReturnType<typeof one>>>().toEqualTypeOf<readonly string[]>();
  const out = () => from(both).addFanOutEdges(both, [readsText, readsNumber]);
  expectTypeOf<Outputs<ReturnType<typeof out>>>().toEqualTypeOf<readonly (string | number)[]>();
  const cases = () => from(both).addSwitchCaseEdges(both, [Case(() => true, readsText), Default(readsNumber)]);
  expectTypeOf<Outputs<ReturnType<typeof cases>>>().toEqualTypeOf<readonly (string | number)[]>();
  const routes = () => from(both).addRoutes(both, [{ to: readsText }, { to: readsNumber, otherwise: true }]);
  expectTypeOf<Outputs<ReturnType<typeof routes>>>().toEqualTypeOf<readonly (string | number)[]>();
  const chain = () => from(texts).addChain([texts, sizes, readsNumber]);
  expectTypeOf<Outputs<ReturnType<typeof chain>>>().toEqualTypeOf<readonly number[]>();
});

it("a builder whose type does not know of an edge is not gone on with: who does not chain is told so", () => {
  const told = /^Expected the builder that addEdge gave, .*Chain the calls/u;
  const builder = from(texts);
  const next = builder.addEdge(texts, readsText);
  expectTypeOf<typeof next>().toEqualTypeOf<WorkflowBuilder<string, string>>();
  for (const again of [
    () => builder.build(),
    () => builder.addEdge(texts, readsAny),
    () => builder.addChain([texts, sizes]),
    () => builder.addFanOutEdges(texts, [readsText, readsAny]),
    () => builder.addMultiSelectionEdges(texts, [readsText], () => []),
    () => builder.addSwitchCaseEdges(texts, [Case(() => true, readsText), Default(readsAny)]),
    () => builder.addRoutes(texts, [{ to: readsText }]),
    () => builder.addFanInEdges([texts, texts], readsTexts),
    () => builder.addJoin(readsTexts),
  ])
    expect(again).toThrow(told);
  // Nothing of that is in the graph; and what is finished is finished.
  expect([...next.build().graph.nodes.keys()]).toEqual(["texts", "readsText"]);
  expect(next.build().graph.groups).toHaveLength(1);
  // Where nobody can know beforehand how many edges there will be, the builder is declared with all that may come out.
  let open: WorkflowBuilder<string, string | number> = from(both);
  for (const target of [readsText, readsText]) open = open.addFanOutEdges(both, [target, readsNumber]);
  const narrow = (): WorkflowBuilder<string, string> =>
    // @ts-expect-error numbers come out too
    from(both).addEdge(both, readsNumber);
  expect([open, narrow]).toHaveLength(2);
});
