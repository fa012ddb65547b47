/** What may be a message, as the author says it: any Standard Schema (zod, valibot, arktype …). */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from "@standard-schema/spec";
import type { Json } from "../../core/json.ts";
import { decode, encode } from "../../core/json.ts";

/** The value as the schema gives it, or nothing where it does not fit; without a schema everything fits. */
export async function fit(
  schema: StandardSchemaV1 | undefined,
  value: unknown,
): Promise<{ value: unknown } | undefined> {
  if (schema === undefined) return { value };
  const result = await schema["~standard"].validate(value);
  return result.issues === undefined ? { value: result.value } : undefined;
}

/** JSON Schema of what a schema takes, where its library can tell (Standard JSON Schema). */
export function jsonSchemaOf(schema: StandardSchemaV1): Json | undefined {
  const standard = schema["~standard"] as Partial<StandardJSONSchemaV1["~standard"]>;
  try {
    const text = encode(standard.jsonSchema?.input({ target: "draft-2020-12" }), "JSON Schema of an answer");
    return text === undefined ? undefined : decode(text);
  } catch {
    // A schema with parts that JSON Schema cannot say; it is applied itself where the value is used.
    return undefined;
  }
}

/** Whether it is certain that no value fits both, as far as their libraries tell what they take. */
export function areDisjoint(a: StandardSchemaV1, b: StandardSchemaV1): boolean {
  return a !== b && disjointShapes(jsonSchemaOf(a), jsonSchemaOf(b));
}

/**
 * Whether it is certain that no list of these can be taken, when each of them may be any of its schemas.
 *
 * @param sent for each of those that send into the list, what it sends
 */
export function refusesList(sent: readonly (readonly StandardSchemaV1[])[], schema: StandardSchemaV1): boolean {
  const list = { type: "array" };
  const shape = jsonSchemaOf(schema);
  if (disjointShapes(list, shape)) return true;
  const elements = alternatives(shape).flatMap((one) => (disjointShapes(list, one) ? [] : [one["items"]]));
  if (elements.some((items) => items === undefined)) return false;
  // Where there are several kinds of lists, one of them must have room for something of each.
  return elements.every((items) =>
    sent.some((schemas) => schemas.every((one) => disjointShapes(jsonSchemaOf(one), items))),
  );
}

type Shape = { readonly [key: string]: Json };

/** How deep objects are compared: the fields that tell one kind of message from another are near the top. */
const depthMax = 4;

function disjointShapes(a: Json | undefined, b: Json | undefined, depth = 0): boolean {
  const [left, right] = [alternatives(a), alternatives(b)];
  if (left.length === 0 || right.length === 0) return false;
  return left.every((one) => right.every((other) => disjointOnes(one, other, depth)));
}

/** What a schema with `anyOf` may be; nothing where it does not say. */
function alternatives(shape: Json | undefined): readonly Shape[] {
  if (typeof shape !== "object" || shape === null || Array.isArray(shape)) return [];
  const any = shape["anyOf"] ?? shape["oneOf"];
  return Array.isArray(any) ? any.flatMap((one) => (isShape(one) ? [one] : [{}])) : [shape];
}

function isShape(value: Json | undefined): value is Shape {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function disjointOnes(a: Shape, b: Shape, depth: number): boolean {
  const [left, right] = [typesOf(a), typesOf(b)];
  if (left !== undefined && right !== undefined && !left.some((type) => right.includes(type))) return true;
  const [these, those] = [valuesOf(a), valuesOf(b)];
  if (these !== undefined && those !== undefined && !these.some((value) => those.includes(value))) return true;
  if (depth >= depthMax || left?.join() !== "object" || right?.join() !== "object") return false;
  const [fields, others] = [a["properties"], b["properties"]];
  if (!isShape(fields) || !isShape(others)) return false;
  const required = (shape: Shape): readonly Json[] => (Array.isArray(shape["required"]) ? shape["required"] : []);
  return required(a).some(
    (key) =>
      typeof key === "string" && required(b).includes(key) && disjointShapes(fields[key], others[key], depth + 1),
  );
}

function typesOf(shape: Shape): string[] | undefined {
  const type = shape["type"];
  const found = Array.isArray(type) ? type : [type];
  const types = found.filter((one) => typeof one === "string");
  // Every integer is a number.
  return types.length === 0 ? undefined : types.map((one) => (one === "integer" ? "number" : one));
}

/** The only values, as texts, where they are listed. */
function valuesOf(shape: Shape): string[] | undefined {
  if (shape["const"] !== undefined) return [JSON.stringify(shape["const"])];
  const values = shape["enum"];
  return Array.isArray(values) ? values.map((value) => JSON.stringify(value)) : undefined;
}
