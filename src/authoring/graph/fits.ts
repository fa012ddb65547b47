/**
 * What the compiler can say of edges: that nothing which goes along one can be what is handled at its end. It says so
 * only where that is certain. One message that fits is enough for an edge, as others may be meant for other edges.
 */
import type { CaseBranch, DefaultBranch } from "./edges.ts";
import type { Node } from "./executor.ts";

type Primitive = string | number | bigint | boolean | symbol | null | undefined;

/** Whether one of these sent may be one of those handled; a list may be handled because a join makes one of what came. */
type Overlap<O, I> = unknown extends O
  ? true
  : unknown extends I
    ? true
    : O extends unknown
      ? I extends unknown
        ? OneOverlap<O, I>
        : never
      : never;

type OneOverlap<O, I> = [O] extends [I]
  ? true
  : [I] extends [O]
    ? true
    : I extends readonly (infer E)[]
      ? Overlap<O, E> | (O extends Primitive ? false : Meet<O, I>)
      : O extends Primitive
        ? I extends object
          ? false
          : Meet<O, I>
        : I extends Primitive
          ? false
          : Meet<O, I>;

type Meet<O, I> = [O & I] extends [never] ? false : true;

/** `never` where nothing that the source sends can be what the target takes, so that the call does not compile. */
export type Fits<O, I> = true extends Overlap<O, I> ? unknown : never;

export type InputOf<N> = N extends Node<infer I> ? I : unknown;
export type OutputOf<N> = N extends Node<unknown, infer O> ? O : unknown;

export type YieldOf<N> = N extends Node<unknown, unknown, infer Y> ? Y : unknown;
/** The executor at the end of a branch of a switch. */
export type BranchEnd<B> = B extends { readonly to: infer N }
  ? N
  : B extends { readonly otherwise: infer N }
    ? N
    : never;

/** Targets of a source, each of which takes something that it sends. */
export type Accepting<O, T extends readonly Node[]> = { readonly [K in keyof T]: T[K] & Fits<O, InputOf<T[K]>> };

/** Nodes in a row, each of which takes something that the one before it sends. */
export type Chained<T extends readonly Node[]> = T extends readonly [infer First, infer Second, ...infer Rest]
  ? Rest extends readonly Node[]
    ? Second extends Node
      ? readonly [First, Second & Fits<OutputOf<First>, InputOf<Second>>, ...Behind<Second, Rest>]
      : never
    : never
  : T;

type Behind<Before, T extends readonly Node[]> = T extends readonly [infer Next, ...infer Rest]
  ? Rest extends readonly Node[]
    ? readonly [Next & Fits<OutputOf<Before>, InputOf<Next>>, ...Behind<Next, Rest>]
    : never
  : T;

/** Branches of a switch, whose ends take something that the source sends. */
export type Switching<O, B extends readonly unknown[]> = {
  readonly [K in keyof B]: B[K] &
    (B[K] extends CaseBranch<never, infer I>
      ? FitsBranch<Fits<O, I>>
      : B[K] extends DefaultBranch<infer I>
        ? FitsBranch<Fits<O, I>>
        : unknown);
};

/** What was to be there, where it is not, is named in the error that the compiler shows. */
type FitsBranch<F> = [F] extends [never] ? { readonly to: "an executor that takes what the source sends" } : unknown;

/** A way out of a router; at the end of a way for failures a failure is taken, and that is not looked into. */
export type Fitting<O, N> =
  | { readonly to: N & Fits<O, InputOf<N>>; readonly onFailure?: false }
  | { readonly to: N; readonly onFailure: true };

/** `never` where no list of one message of each source can be what the target takes. */
export type TakesList<S extends readonly Node[], I> = unknown extends I
  ? unknown
  : true extends (I extends unknown ? ListFits<S, I> : never)
    ? unknown
    : never;

type ListFits<S extends readonly Node[], L> = L extends readonly (infer E)[]
  ? false extends { [K in keyof S]: true extends Overlap<OutputOf<S[K]>, E> ? true : false }[number]
    ? false
    : true
  : [readonly unknown[]] extends [L]
    ? true
    : false;
