/** What the contract says of one route, and the small schemas that queries are made of. */
import { z } from "zod";
import type { ErrorCode } from "../../core/error.ts";
import type { BodyOf, QueryOf, RouteName } from "./routes.ts";

/** What a token may do. Each includes those before it: `read` looks, `run` also changes runs, `admin` also tends the store. */
export const scopes = ["none", "read", "run", "admin"] as const;
export type Scope = (typeof scopes)[number];

export type RouteSpec<R extends RouteName = RouteName> = {
  /** One sentence, for the reader of the OpenAPI document. */
  summary: string;
  /** What a token has to have; `none` asks for no token. */
  scope: Scope;
  /** Whether a token of scope `node` may use it too. */
  nodes?: true;
  /** Status of a success; 200 if left out. */
  status?: 200 | 201 | 202;
  /**
   * `stream`: server-sent events, each with JSON of `result`. `text`: plain text. `lines`: a file of lines of JSON, of any
   * size. JSON if left out.
   */
  kind?: "json" | "stream" | "text" | "lines";
  /** The body is a file of lines of JSON, of any size, which the handler reads itself. */
  takes?: "lines";
  /** Of a POST that is one request without an idempotency key: why asking again changes nothing. All others take the key. */
  repeats?: string;
  /** Errors of its own, besides those that every route can give. */
  errors: readonly ErrorCode[];
  query?: z.ZodType<QueryOf<R>>;
  body?: z.ZodType<BodyOf<R>>;
  result: z.ZodType;
};

export type Contract = { readonly [R in RouteName]: RouteSpec<R> };

/** A part of the contract: some of its routes. */
export type ContractPart<R extends RouteName> = { readonly [N in R]: RouteSpec<N> };

/** Any text that is a whole number, and nothing else: `Number` alone would read "", " 1" and "0x1" too. */
export function whole(min: number, max: number = Number.MAX_SAFE_INTEGER): z.ZodType<number> {
  const read = (given: unknown): unknown =>
    typeof given === "string" && /^\d{1,16}$/.test(given) ? Number(given) : given;
  const error = `Expected a whole number from ${min}${max === Number.MAX_SAFE_INTEGER ? " on" : ` to ${max}`}`;
  return z.preprocess(read, z.number({ error }).int({ error }).min(min, { error }).max(max, { error }));
}

export function flag(): z.ZodType<boolean> {
  const read = (given: unknown): unknown => (given === "true" ? true : given === "false" ? false : given);
  return z.preprocess(read, z.boolean());
}

/** What may be given several times in a query. */
export function many<T>(item: z.ZodType<T>): z.ZodType<T[]> {
  return z.preprocess((given): unknown => (Array.isArray(given) ? given : [given]), z.array(item).max(200));
}

/** Left out, but never `undefined`: what JSON cannot say is no value of an option. */
export function optional<T extends z.ZodType>(schema: T): z.ZodExactOptional<T> {
  return z.exactOptional(schema);
}

/** An object whose keys are the caller's own: none is looked into, and none (such as `__proto__`) is lost. */
export function anyKeys(): z.ZodType<Record<string, unknown>> {
  const isObject = (given: unknown): boolean => typeof given === "object" && given !== null && !Array.isArray(given);
  return z.custom<Record<string, unknown>>(isObject, "Invalid input: expected an object").meta({ type: "object" });
}

export const text: z.ZodType<string> = z.string();
export const duration: z.ZodType<number | string> = z.union([z.number(), z.string()]);
