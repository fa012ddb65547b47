import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Origin } from "./event.ts";
import type { Kin } from "./lineage.ts";
import { ancestors, descendants, familyOf, partingOf, siblings } from "./lineage.ts";

const root: Kin = { id: "root", origin: { kind: "new" } };
const from = (kind: "restart" | "fork", run: string, seq: number): Origin => ({ kind, run, seq, hash: "h" });
const restart = (id: string, run: string, seq = 9): Kin => ({ id, origin: from("restart", run, seq) });
const fork = (id: string, run: string, seq = 4): Kin => ({ id, origin: from("fork", run, seq) });
const ids = (runs: readonly Kin[]): string[] => runs.map(({ id }) => id);

/** root → a → (b, c → (d, e)), and a call of the root. */
const family = familyOf([
  root,
  restart("a", "root"),
  fork("b", "a", 3),
  fork("c", "a", 5),
  restart("d", "c"),
  fork("e", "c", 7),
  { id: "call", origin: { kind: "child", run: "root", key: "k", seq: 2 } },
]);

describe("the family tree", () => {
  test("has of each run what it comes from, what came from it, and what else came from the same", () => {
    expect(ids(family.roots)).toEqual(["root"]);
    expect(ids(ancestors(family, "e"))).toEqual(["c", "a", "root"]);
    expect(ids(descendants(family, "root"))).toEqual(["a", "b", "c", "d", "e", "call"]);
    expect(ids(descendants(family, "c"))).toEqual(["d", "e"]);
    expect(ids(siblings(family, "b"))).toEqual(["c"]);
    expect(ids(siblings(family, "a"))).toEqual(["call"]);
    expect(siblings(family, "root")).toEqual([]);
  });

  test("says where the lines of two runs part, and at which place each left the run they share", () => {
    expect(partingOf(family, "b", "e")).toEqual({ run: "a", a: 3, b: 5 });
    expect(partingOf(family, "e", "b")).toEqual({ run: "a", a: 5, b: 3 });
    expect(partingOf(family, "a", "e")).toEqual({ run: "a", b: 5 });
    expect(partingOf(family, "e", "a")).toEqual({ run: "a", a: 5 });
    expect(partingOf(family, "d", "d")).toEqual({ run: "d" });
    expect(partingOf(familyOf([root, { id: "other", origin: { kind: "new" } }]), "root", "other")).toBeUndefined();
  });

  test("takes a run whose source is not there for a root, and knows nothing of a run that is not there", () => {
    const orphan = familyOf([fork("f", "gone"), restart("g", "f")]);
    expect(ids(orphan.roots)).toEqual(["f"]);
    expect(ids(ancestors(orphan, "g"))).toEqual(["f"]);
    expect(ancestors(orphan, "nobody")).toEqual([]);
    expect(descendants(orphan, "nobody")).toEqual([]);
    expect(partingOf(orphan, "g", "nobody")).toBeUndefined();
  });

  test("opens a circle of origins, and has every run of it once", () => {
    const circle = familyOf([
      restart("x", "z"),
      restart("y", "x"),
      restart("z", "y"),
      fork("w", "y"),
      restart("s", "s"),
    ]);
    expect(ids(circle.roots)).toEqual(["x", "s"]);
    expect(ids(descendants(circle, "x"))).toEqual(["y", "z", "w"]);
    expect(ids(ancestors(circle, "z"))).toEqual(["y", "x"]);
  });

  test("of a chain of 100,000 runs is walked without a stack", () => {
    const chain = familyOf([
      root,
      ...Array.from({ length: 100_000 }, (_, i) => restart(`r${i}`, i ? `r${i - 1}` : "root")),
    ]);
    expect(ancestors(chain, "r99999")).toHaveLength(100_000);
    expect(descendants(chain, "root").at(-1)?.id).toBe("r99999");
    expect(partingOf(chain, "r99999", "r50000")).toEqual({ run: "r50000", a: 9 });
  });
});

test("whatever the origins say, every run is in the tree once, below its root", () => {
  const any = fc.array(fc.tuple(fc.nat({ max: 30 }), fc.option(fc.nat({ max: 40 }))), { maxLength: 30 });
  fc.assert(
    fc.property(any, (pairs) => {
      const runs = pairs.map(([id, source]) =>
        source === null ? { ...root, id: `${id}` } : fork(`${id}`, `${source}`),
      );
      const tree = familyOf(runs);
      const drawn = tree.roots.flatMap((each) => [each.id, ...ids(descendants(tree, each.id))]);
      expect(drawn.toSorted()).toEqual([...new Set(ids(runs))].toSorted());
      for (const id of tree.runs.keys()) {
        const above = ids(ancestors(tree, id));
        expect(new Set(above).size).toBe(above.length);
        const top = above.at(-1) ?? id;
        expect(ids(tree.roots)).toContain(top);
        expect(partingOf(tree, id, top)?.run).toBe(top);
      }
    }),
  );
});
