/** How executors are joined: what each kind of edge says, as data. What they do with a message is in `deliver`. */
import type { Node } from "./executor.ts";

/**
 * Whether a message goes this way. It must depend on the message alone: it is asked again whenever a run is recalled.
 * Its source text counts for the signature of the graph; a name and a version given stand in the place of the text.
 */
export type Predicate<M = unknown> =
  | ((message: M) => boolean | Promise<boolean>)
  | { readonly name: string; readonly version: number; readonly test: (message: M) => boolean | Promise<boolean> };

/** Ids of the targets that a message goes to. The same rules as for predicates. */
export type Selection<M = unknown> =
  | ((message: M, targets: readonly string[]) => readonly string[])
  | {
      readonly name: string;
      readonly version: number;
      readonly select: (message: M, targets: readonly string[]) => readonly string[];
    };

/** Predicates and selections of messages of any type: the edge's own types were checked where it was added. */
export type AnyPredicate = Predicate<never>;
export type AnySelection = Selection<never>;

/** One way out of a router. Lower priorities come first, everywhere. */
export type RouteEdge = {
  readonly target: string;
  /** A name that a message can choose it by, beside the id of the target. */
  readonly route?: string;
  readonly when?: AnyPredicate;
  /** Default 100. */
  readonly priority: number;
  /** Taken where nothing else is. */
  readonly otherwise: boolean;
  /** For failures of the source, and only for them. */
  readonly onFailure: boolean;
  /** Does not keep others from being taken. */
  readonly many: boolean;
};

export type EdgeGroup =
  | {
      readonly kind: "single";
      readonly id: string;
      readonly source: string;
      readonly target: string;
      readonly when?: AnyPredicate;
    }
  | { readonly kind: "fanOut"; readonly id: string; readonly source: string; readonly targets: readonly string[] }
  | {
      readonly kind: "select";
      readonly id: string;
      readonly source: string;
      readonly targets: readonly string[];
      readonly select: AnySelection;
    }
  | {
      readonly kind: "switch";
      readonly id: string;
      readonly source: string;
      readonly cases: readonly { readonly when: AnyPredicate; readonly target: string }[];
      readonly otherwise: string;
    }
  | {
      readonly kind: "routes";
      readonly id: string;
      readonly source: string;
      readonly edges: readonly RouteEdge[];
      readonly fanOut: boolean;
    }
  /** Its id is the same in every process: what waits there is kept under it. */
  | { readonly kind: "fanIn"; readonly id: string; readonly sources: readonly string[]; readonly target: string };

/** One branch of a switch: the first whose predicate is true is taken. */
export type CaseBranch<M = unknown, I = unknown, Y = unknown> = {
  readonly when: Predicate<M>;
  readonly to: Node<I, unknown, Y>;
};
export type DefaultBranch<I = unknown, Y = unknown> = { readonly otherwise: Node<I, unknown, Y> };

/** @example builder.addSwitchCaseEdges(read, [Case((n: number) => n < 5, small), Default(large)]); */
export function Case<M, I, Y>(when: Predicate<M>, to: Node<I, unknown, Y>): CaseBranch<M, I, Y> {
  return { when, to };
}

/** Where a message goes that no case is true for. */
export function Default<I, Y>(to: Node<I, unknown, Y>): DefaultBranch<I, Y> {
  return { otherwise: to };
}

/** All pairs of source and target that messages can go along, whatever the predicates say. */
export function arrows(groups: readonly EdgeGroup[]): { source: string; target: string; group: EdgeGroup }[] {
  return groups.flatMap((group) =>
    sourcesOf(group).flatMap((source) => targetsOf(group).map((target) => ({ source, target, group }))),
  );
}

export function sourcesOf(group: EdgeGroup): readonly string[] {
  return group.kind === "fanIn" ? group.sources : [group.source];
}

export function targetsOf(group: EdgeGroup): readonly string[] {
  switch (group.kind) {
    case "single":
    case "fanIn":
      return [group.target];
    case "fanOut":
    case "select":
      return group.targets;
    case "switch":
      return [...group.cases.map(({ target }) => target), group.otherwise];
    case "routes":
      return group.edges.map(({ target }) => target);
  }
}

/** What a predicate is known by: its name and version, or its text. */
export function textOfFunction(given: AnyPredicate | AnySelection): string {
  return typeof given === "function" ? String(given) : `${given.name}@${given.version}`;
}
