/**
 * Where a webhook may be sent. Whoever can name an address could otherwise make this machine ask services that trust it:
 * those of its own network, or of its cloud. So a name is resolved, every address that it has must be one of the public
 * internet (or of a range that was allowed), and the connection goes to those very addresses: a name that means something
 * else a moment later changes nothing.
 */
import { lookup } from "node:dns/promises";
import type { LookupFunction } from "node:net";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { StemmaError } from "../../core/error.ts";

/** The addresses of a name. Rejects where it has none. */
export type Resolve = (name: string) => Promise<readonly string[]>;

export type GuardOptions = {
  /** Ranges that may be reached besides the public internet: "10.1.0.0/16", "127.0.0.1", "fd00::/8". Default none. */
  allow?: readonly string[];
  /** Default: that of the system. */
  resolve?: Resolve;
};

/** A target that was checked: connect with `lookup` and nowhere else. */
export type Target = { url: URL; lookup: LookupFunction; addresses: readonly string[] };

export type Guard = {
  /** What can be said of an address without asking anybody. Throws webhook.invalid, webhook.refused. */
  checkUrl(text: string): URL;
  /** Resolves and checks it. Throws webhook.invalid, webhook.refused; what the resolver rejects with. */
  target(url: URL): Promise<Target>;
};

const urlCharsMax = 2000;
const addressesMax = 64;

type Range = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Throws usage.invalid for a range that is none. */
export function guardOf({ allow = [], resolve = systemResolve }: GuardOptions = {}): Guard {
  const ranges = allow.map(rangeOf);
  const expectAllowed = (name: string, address: string): void => {
    if (!mayReach(address, ranges)) throw refused(name, address);
  };
  const checkUrl = (text: string): URL => {
    const url = urlOf(text);
    const name = nameOf(url);
    if (isIP(name) !== 0) expectAllowed(name, name);
    return url;
  };
  return {
    checkUrl,
    async target(given) {
      const url = checkUrl(given.href);
      const name = nameOf(url);
      const addresses = isIP(name) === 0 ? (await resolve(name)).slice(0, addressesMax) : [name];
      if (addresses.length === 0) throw new Error(`the name ${name} has no address`);
      // One that may not be reached is enough: which of them is taken would be up to whoever answers for the name.
      for (const address of addresses) expectAllowed(name, address);
      return { url, addresses, lookup: lookupOf(addresses) };
    },
  };
}

/** Throws webhook.invalid. The address is not in the message: what is in it may be a secret. */
function urlOf(text: string): URL {
  const invalid = (found: string): StemmaError =>
    new StemmaError("webhook.invalid", `Expected the address of a webhook to be http(s)://host/path, got ${found}.`);
  if (typeof text !== "string") throw invalid(`a value of type ${typeof text}`);
  if (text.length > urlCharsMax) throw invalid(`${text.length} characters; there may be ${urlCharsMax}`);
  if (!URL.canParse(text)) throw invalid("what is no address");
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw invalid(`one that begins with ${url.protocol}`);
  if (url.username !== "" || url.password !== "") throw invalid("one with a user or password in it; give a header");
  if (url.port === "0") throw invalid("one with port 0");
  url.hash = "";
  return url;
}

/** The name or address of a URL, without the brackets of IPv6. */
function nameOf({ hostname }: URL): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

function mayReach(text: string, ranges: readonly Range[]): boolean {
  // A scope (`fe80::1%eth0`) is of links, which are never public.
  if (!ipaddr.isValid(text) || text.includes("%")) return false;
  const address = ipaddr.parse(text);
  const plain = ipaddr.process(text);
  const isAllowed = ranges.some(([base, bits]) =>
    [address, plain].some((one) => one.kind() === base.kind() && one.match(base, bits)),
  );
  return isAllowed || isPublic(address);
}

/**
 * Whether anybody in the world may be there. Of IPv6 only what is given out for that, 2000::/3, and nothing of it that
 * holds an address of IPv4 or stands for something else (6to4, Teredo, ORCHID, documentation). Mapped and translated ones
 * are refused whatever they stand for: no name of the internet needs them.
 */
function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address.range() !== "unicast") return false;
  return address.kind() === "ipv4" || address.match(global6, 3);
}

const global6 = ipaddr.IPv6.parse("2000::");

function rangeOf(text: string): Range {
  try {
    if (text.includes("/")) return ipaddr.parseCIDR(text);
    const address = ipaddr.parse(text);
    return [address, address.kind() === "ipv4" ? 32 : 128];
  } catch {
    const message = `Expected a range that webhooks may reach, such as "10.1.0.0/16" or "127.0.0.1", got ${JSON.stringify(text)}.`;
    throw new StemmaError("usage.invalid", message);
  }
}

function refused(name: string, address: string): StemmaError {
  const what = name === address ? address : `${name}, which is ${address},`;
  const message = `Expected a webhook to an address of the public internet; ${what} is none. Who runs the server can allow its range.`;
  return new StemmaError("webhook.refused", message, { data: { name, address } });
}

/** Gives what was checked, whatever is asked for. */
function lookupOf(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_name, { all: every }, done) => {
    const [first] = all;
    if (every === true) done(null, all);
    else done(null, first?.address ?? "", first?.family);
  };
}

async function systemResolve(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true, order: "verbatim" })).map(({ address }) => address);
}
