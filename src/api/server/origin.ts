/**
 * Whether a request comes from where requests may come from. A page of any site can make a browser send requests to a
 * server on the same machine, under the server's own name or under one that its author points there (DNS rebinding). So
 * the name in `Host` has to be one of ours, and a request that a page made (`Origin`, `Sec-Fetch-Site`) has to come from
 * a page of ours, whatever the method: streams are GET too.
 */
import { StemmaError } from "../../core/error.ts";

export type Place = {
  /** The port that is listened on; undefined where the app is part of another server. */
  port?: number;
  /** What is listened on, where that is not this machine alone. */
  open: boolean;
};

export type Names = {
  /** Names under which the server is reached besides those of this machine: `flows.example` (any port) or with a port. */
  hosts: readonly string[];
  /** Origins of pages that may ask, besides the server's own: `https://ui.example`. */
  origins: readonly string[];
};

const loopback = ["127.0.0.1", "localhost", "[::1]"];

/** Whether an address is one that only this machine reaches. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" || hostname === "::1" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname)
  );
}

/** Throws request.forbidden. */
export function checkHost(host: string | undefined, names: Names, place: Place): void {
  if (host !== undefined && isOurs(host.toLowerCase(), names, place)) return;
  throw new StemmaError(
    "request.forbidden",
    "This server is not asked under this Host. Name it in `hosts` if it should be.",
  );
}

function isOurs(host: string, { hosts }: Names, { port, open }: Place): boolean {
  const name = host.replace(/:\d{1,5}$/, "");
  if (hosts.some((one) => one.toLowerCase() === host || one.toLowerCase() === name)) return true;
  // Who binds it to more than this machine has to give tokens, and no page of another site has one.
  if (open && hosts.length === 0) return true;
  if (!loopback.includes(name)) return false;
  return port === undefined || host === `${name}:${port}` || (port === 80 && host === name);
}

/**
 * Gives the origin that the answer may be read by, where that is another than the server's own.
 *
 * @throws request.forbidden
 */
export function checkOrigin(headers: Headers, host: string, { origins }: Names): string | undefined {
  const origin = headers.get("origin");
  const site = headers.get("sec-fetch-site");
  if (origin !== null && origins.includes(origin)) return origin;
  const isOwn =
    origin === null || origin.toLowerCase() === `http://${host}` || origin.toLowerCase() === `https://${host}`;
  if (isOwn && (site === null || site === "same-origin" || site === "none")) return undefined;
  throw new StemmaError("request.forbidden", "Pages of this origin may not ask. Name it in `origins` if it should.");
}
