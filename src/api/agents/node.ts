/** What a node says of itself when it registers, and what is known of it afterwards. */
import type { Duration } from "../../core/duration.ts";
import { milliseconds, timeLimit } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { RunId, Timestamp } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { decode, encode } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import { checkId, checkName } from "../../core/name.ts";
import type { RetryOptions, RetryPolicy } from "../../core/retry.ts";
import { retryPolicy } from "../../core/retry.ts";
import { partsOfFunction } from "../../engine/node-function.ts";

/** A function that a node offers. It is called by POST with the bare input at `{url}/reasoners/{name}` or `/skills/{name}`. */
export type NodeFunction = {
  name: string;
  /** Only says where it is asked for. Default "reasoner". */
  kind?: "reasoner" | "skill";
  description?: string;
  tags?: readonly string[];
  /** JSON Schemas, for people and tools. */
  input?: Json;
  output?: Json;
  /** How long one attempt may take, from the moment at which a node took it. Default: no limit. */
  timeout?: Duration;
  /** How often it is tried again when it fails. Default: not. A node that dies or is away is another matter: see `Agents`. */
  retry?: number | RetryOptions;
};

/** What a node registers with. */
export type NodeGiven = {
  /** Its name: the part before the dot. */
  node: string;
  /** Of its code. Several may be registered at a time. Default "1". */
  version?: string;
  /** Where it listens: http or https, no credentials, no query. Loopback and private addresses are fine. */
  url: string;
  /**
   * Which process it is. Default: a new one at each registration. What the process before it at this address had in hand is
   * lost, and is given out anew.
   */
  instance?: string;
  /** Share of the calls that go to its version, against the other versions. 0: none as long as there are others. Default 100. */
  weight?: number;
  /** How many executions it works on at a time; those that wait for calls or people do not count. Default: no limit. */
  concurrency?: number;
  /**
   * It is a function of somebody's cloud: all its functions are asked for at `{url}/execute`, with the name and the context
   * of the execution in the body, and it answers with the result. Default false.
   */
  serverless?: boolean;
  /** How long it may be silent before it is looked after. Default "15s". */
  lease?: Duration;
  functions: readonly NodeFunction[];
  /** Anything, for those who look. At most 64 KB of JSON. */
  metadata?: Json;
};

/** A registration as it is kept in the store. */
export type Registration = {
  node: string;
  version: string;
  url: string;
  instance: string;
  weight: number;
  concurrency?: number;
  leaseMs: number;
  serverless?: true;
  functions: KeptFunction[];
  metadata?: Json;
  at: Timestamp;
};

export type KeptFunction = {
  name: string;
  kind: "reasoner" | "skill";
  description?: string;
  tags: string[];
  input?: Json;
  output?: Json;
  timeoutMs?: number;
  retry?: RetryPolicy;
};

/**
 * A registered node as it is now. `up`: it was heard of within its lease, or answered when it was asked. `silent`: not, and
 * it is being looked after. `down`: it does not answer; what it had in hand is given out anew.
 */
export type NodeState = Registration & {
  /** Of the value that keeps the registration. */
  id: RunId;
  state: "up" | "silent" | "down";
  /** When it was last heard of by this server. */
  heardAt: Timestamp;
  /** Executions that this server knows it to be working on. */
  working: number;
  /** `open`: it failed several times in a row and is left alone for a while; `probing`: one call is let through. */
  circuit: "closed" | "open" | "probing";
};

const weightMax = 1_000_000;
const metadataBytesMax = 65_536;
const leaseMsMin = 500;
export const leaseDefault = "15s";

/** Throws usage.invalid, name.invalid, duration.invalid, step.invalid, limit.exceeded for what cannot be a node. */
export function checkNode(given: NodeGiven, instance: string, at: Timestamp): Registration {
  const { version = "1", weight = 100, concurrency, functions, metadata, lease = leaseDefault } = given;
  const node = checkName(given.node, "name of a node");
  if (!Array.isArray(functions) || functions.length > limits.nodeFunctionsMax) {
    throw invalid(`Expected a node to have at most ${limits.nodeFunctionsMax} functions in a list`, functions.length);
  }
  if (!(Number.isFinite(weight) && weight >= 0 && weight <= weightMax)) {
    throw invalid(`Expected the weight of a node to be from 0 to ${weightMax}`, weight);
  }
  if (concurrency !== undefined && !(Number.isSafeInteger(concurrency) && concurrency >= 1)) {
    throw invalid("Expected the concurrency of a node to be a whole number from 1", concurrency);
  }
  const leaseMs = milliseconds(lease, `lease of node ${node}`);
  if (leaseMs < leaseMsMin) throw invalid(`Expected the lease of a node to be at least ${leaseMsMin} ms`, leaseMs);
  const kept = (functions as readonly NodeFunction[]).map((one) => checkFunction(node, one));
  const twice = kept.find(({ name }, i) => kept.findIndex((other) => other.name === name) !== i);
  if (twice !== undefined) throw invalid("Expected each function of a node once", twice.name);
  return {
    node,
    version: checkId(version, "version of a node"),
    url: checkNodeUrl(given.url),
    instance: checkId(instance, "instance of a node"),
    weight,
    leaseMs,
    functions: kept,
    at,
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(given.serverless === true ? { serverless: true } : {}),
    ...(metadata === undefined ? {} : { metadata: small(metadata, `metadata of node ${node}`) }),
  };
}

function checkFunction(node: string, given: NodeFunction): KeptFunction {
  const { name, kind = "reasoner", description, tags = [], input, output, timeout, retry } = given;
  const what = `${node}.${name}`;
  partsOfFunction(what);
  if (kind !== "reasoner" && kind !== "skill") throw invalid(`Expected ${what} to be a reasoner or a skill`, kind);
  if (description !== undefined && typeof description !== "string") throw invalid(`Expected text for ${what}`, null);
  return {
    name,
    kind,
    tags: labels(tags, what),
    ...(description === undefined ? {} : { description: description.slice(0, limits.idCharsMax) }),
    ...(input === undefined ? {} : { input: small(input, `input schema of ${what}`) }),
    ...(output === undefined ? {} : { output: small(output, `output schema of ${what}`) }),
    ...(timeout === undefined ? {} : { timeoutMs: timeLimit(timeout, `timeout of ${what}`) }),
    ...(retry === undefined ? {} : { retry: retryPolicy(retry, what) }),
  };
}

/** Words by which people and models find a function: they name nothing here, so any text will do. */
function labels(tags: readonly string[], what: string): string[] {
  if (!Array.isArray(tags) || tags.length > limits.tagsMax) {
    throw invalid(`Expected the tags of ${what} to be a list of at most ${limits.tagsMax}`, null);
  }
  return [...new Set(tags.map((tag: unknown) => checkId(tag, `tag of ${what}`)))];
}

/** The address of a node without a slash at its end. Throws usage.invalid. */
export function checkNodeUrl(given: unknown): string {
  const url = typeof given === "string" && URL.canParse(given) ? new URL(given) : undefined;
  const fits =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.username === "" &&
    url.password === "" &&
    url.search === "" &&
    url.hash === "" &&
    url.href.length <= limits.idCharsMax;
  if (fits) return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
  const isNone = given === undefined || given === "";
  // What stands in it may be a password.
  const got = url !== undefined ? `${url.protocol}//…` : isNone ? "none" : "something else";
  throw new StemmaError(
    "usage.invalid",
    `Expected the url of a node to be http(s) without credentials, query and fragment, such as http://127.0.0.1:8001, got ${got}.`,
  );
}

function small(value: Json, what: string): Json {
  const text = encode(value, what) ?? "null";
  if (text.length <= metadataBytesMax) return decode(text);
  throw new StemmaError("payload.too_large", `Expected the ${what} to be at most ${metadataBytesMax} bytes of JSON.`);
}

function invalid(expected: string, got: unknown): StemmaError {
  return new StemmaError("usage.invalid", `${expected}, got ${JSON.stringify(got)}.`);
}
