/**
 * Values of a graph as plain JSON and back. Messages, states and snapshots are kept as plain values from the moment they
 * are said, so nobody can change one through a reference they kept, and a checkpoint is text. What JSON has no word for
 * (dates, bytes, maps, sets, big integers, instances of listed classes) is an object with the one key `$stemma`; a value
 * that has this key itself is wrapped, so it survives unchanged. Reading runs no constructor and no code of the value.
 */
import { isStemmaError, StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";

/** A class whose instances may be messages or state: fields are kept, and the prototype is given back at reading. */
export type ValueClass = abstract new (...args: never[]) => object;

const mark = "$stemma";
type Tag = "undefined" | "date" | "bytes" | "map" | "set" | "bigint" | "class" | "object";

function tagged(tag: Tag, ...rest: Json[]): Json {
  return { [mark]: [tag, ...rest] };
}

/**
 * A value as plain JSON.
 *
 * @param what names it in messages: "message of a"
 * @throws json.not_serializable for what cannot be kept, with its path; json.too_deep
 * @example toPlain({ at: new Date(0) }, "message"); // { at: { $stemma: ["date", "1970-01-01T00:00:00.000Z"] } }
 */
export function toPlain(value: unknown, what: string, classes: readonly ValueClass[] = []): Json {
  return write(value, { what, classes, depth: 0, path: "$" });
}

type Place = { what: string; classes: readonly ValueClass[]; depth: number; path: string };

function write(value: unknown, place: Place): Json {
  if (place.depth > limits.jsonDepthMax) {
    const message = `Expected ${place.what} to be nested at most ${limits.jsonDepthMax} deep. It may refer to itself.`;
    throw new StemmaError("json.too_deep", message, { data: { limit: limits.jsonDepthMax } });
  }
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      // JSON has one zero.
      return Number.isFinite(value) ? value + 0 : refuse(place, String(value));
    case "undefined":
      return tagged("undefined");
    case "bigint":
      return tagged("bigint", String(value));
    case "object":
      return value === null ? null : writeObject(value, place);
    case "function":
    case "symbol":
      return refuse(place, `a ${typeof value}`);
  }
}

function writeObject(value: object, place: Place): Json {
  const inside = (child: unknown, key: string | number): Json =>
    write(child, { ...place, depth: place.depth + 1, path: `${place.path}.${key}` });
  if (Array.isArray(value)) return value.map((child: unknown, index) => inside(child, index));
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? refuse(place, "an invalid Date") : tagged("date", value.toISOString());
  }
  if (value instanceof Uint8Array) return tagged("bytes", Buffer.from(value).toString("base64"));
  if (value instanceof Set) return tagged("set", [...value].map(inside));
  if (value instanceof Map)
    return tagged(
      "map",
      [...value].map((pair, index) => inside(pair, index)),
    );
  const fields = Object.fromEntries(
    Object.entries(value)
      .filter(([, child]) => child !== undefined)
      .map(([key, child]) => [key, inside(child, key)]),
  );
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) {
    return mark in fields ? tagged("object", Object.entries(fields)) : fields;
  }
  const listed = place.classes.find((known) => known.prototype === prototype);
  if (listed !== undefined) return tagged("class", listed.name, fields);
  return refuse(place, `an instance of ${value.constructor.name}; list its class in the option "classes"`);
}

function refuse({ what, path }: Place, found: string): never {
  throw new StemmaError(
    "json.not_serializable",
    `Expected ${what} to be a value that can be kept, found ${found} at ${path}.`,
    {
      data: { path },
    },
  );
}

/** The value of plain JSON, a fresh copy. Throws json.invalid for a mark or a class that is not known. */
export function fromPlain(json: Json, classes: readonly ValueClass[] = []): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map((child) => fromPlain(child, classes));
  if (!(mark in json)) {
    return Object.fromEntries(Object.entries(json).map(([key, child]) => [key, fromPlain(child, classes)]));
  }
  const [tag, first = null, second = null] = Array.isArray(json[mark]) ? json[mark] : [];
  const read = typeof tag === "string" && Object.hasOwn(reading, tag) ? reading[tag as Tag] : undefined;
  if (read === undefined) throw invalid(`the mark ${JSON.stringify(tag)} is not known`);
  try {
    return read(first, second, classes);
  } catch (error) {
    if (isStemmaError(error)) throw error;
    throw invalid(`what the mark ${JSON.stringify(tag)} stands before is no such value`);
  }
}

type Reading = (first: Json, second: Json, classes: readonly ValueClass[]) => unknown;

const reading: Readonly<Record<Tag, Reading>> = {
  undefined: () => undefined,
  date: (text) => {
    const date = new Date(text as string);
    if (Number.isNaN(date.getTime())) throw invalid("a date in it is none");
    return date;
  },
  bytes: (text) => new Uint8Array(Buffer.from(text as string, "base64")),
  bigint: (text) => BigInt(text as string),
  set: (items, _, classes) => new Set(fromPlain(items, classes) as unknown[]),
  map: (items, _, classes) => new Map(fromPlain(items, classes) as [unknown, unknown][]),
  object: (entries, _, classes) => {
    const pairs = entries as [string, Json][];
    return Object.fromEntries(pairs.map(([key, child]) => [key, fromPlain(child, classes)]));
  },
  class: (name, fields, classes) => {
    const known = classes.find((listed) => listed.name === name);
    if (known === undefined) throw invalid(`the class ${JSON.stringify(name)} is not listed in the option "classes"`);
    if (typeof fields !== "object" || fields === null || Array.isArray(fields))
      throw invalid("an instance in it is none");
    // Each field is laid on the instance as it is: neither a setter nor the one named `__proto__` is given it.
    const value = Object.create(known.prototype as object) as object;
    return Object.defineProperties(value, Object.getOwnPropertyDescriptors(fieldsOf(fields, classes)));
  },
};

/** The fields of an instance are an object, also where one of them is named as the mark is. */
function fieldsOf(fields: { readonly [key: string]: Json }, classes: readonly ValueClass[]): object {
  return Object.fromEntries(Object.entries(fields).map(([key, child]) => [key, fromPlain(child, classes)]));
}

function invalid(why: string): StemmaError {
  return new StemmaError("json.invalid", `A stored value cannot be read: ${why}.`);
}
