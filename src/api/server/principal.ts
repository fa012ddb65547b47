/**
 * Who asks, and whether they may. A token names its principal and what it may do; tokens are kept as digests, and all
 * are compared, each in constant time, so that neither the time nor a core dump tells one.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { StemmaError } from "../../core/error.ts";
import { checkName } from "../../core/name.ts";
import type { RouteSpec, Scope } from "../contract/route.ts";
import { scopes } from "../contract/route.ts";

/** A secret that is sent as `Authorization: Bearer …`, at least 16 printable characters. */
export type Token = {
  /** Who has it: kept on record with what they ask of runs. */
  name: string;
  token: string;
  /** `read` looks; `run` also changes runs; `admin` also tends the store. `node` is for nodes: it can do what they have to. */
  scope: Exclude<Scope, "none"> | "node";
};

export type Principal = { readonly name: string; readonly scope: Scope | "node" };

const tokenCharsMin = 16;

/** Who has this `Authorization` header, if anybody has. */
export type Recognize = (authorization: string | undefined) => Principal | undefined;

/** Throws usage.invalid, name.invalid for tokens that cannot be. */
export function recognizer(tokens: readonly Token[]): Recognize {
  const known = tokens.map(({ name, token, scope }) => {
    checkName(name, "name of a token");
    if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token) || token.length < tokenCharsMin) {
      throw new StemmaError(
        "usage.invalid",
        `Expected the token of ${name} to be at least ${tokenCharsMin} printable characters without spaces. Make one: openssl rand -hex 32.`,
      );
    }
    if (!["read", "run", "admin", "node"].includes(scope)) {
      throw new StemmaError("usage.invalid", `Expected the scope of token ${name} to be read, run, admin or node.`);
    }
    return { principal: { name, scope }, digest: digestOf(token) };
  });
  return (authorization) => {
    const [, given] = /^bearer +([\x21-\x7e]+)$/i.exec(authorization ?? "") ?? [];
    if (given === undefined) return undefined;
    const digest = digestOf(given);
    let found: Principal | undefined;
    for (const one of known) if (timingSafeEqual(one.digest, digest)) found = one.principal;
    return found;
  };
}

export function mayUse({ scope }: Principal, { scope: needed, nodes }: Pick<RouteSpec, "scope" | "nodes">): boolean {
  return scope === "node" ? nodes === true : scopes.indexOf(scope) >= scopes.indexOf(needed);
}

/** Who is put on record: the principal, and whom they say they speak for. */
export function byOf(principal: Principal | undefined, given: string | undefined): { by?: string } {
  if (principal === undefined) return given === undefined ? {} : { by: given };
  return { by: given === undefined ? principal.name : `${given} via ${principal.name}` };
}

function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
