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

/** Whether it is certain that no value fits both: the JSON types of both are known and have none in common. */
export function areDisjoint(a: StandardSchemaV1, b: StandardSchemaV1): boolean {
  if (a === b) return false;
  const [left, right] = [typesOf(a), typesOf(b)];
  return left !== undefined && right !== undefined && !left.some((type) => right.includes(type));
}

function typesOf(schema: StandardSchemaV1): string[] | undefined {
  const shape = jsonSchemaOf(schema);
  if (typeof shape !== "object" || shape === null || Array.isArray(shape)) return undefined;
  const type = shape["type"];
  const found = Array.isArray(type) ? type : [type];
  const types = found.filter((one) => typeof one === "string");
  // Every integer is a number.
  return types.length === 0 ? undefined : types.map((one) => (one === "integer" ? "number" : one));
}
