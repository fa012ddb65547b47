/** The contract as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0). */
import { z } from "zod";
import { errorCodes } from "../../core/error.ts";
import type { ErrorCode } from "../../core/error.ts";
import { contract } from "./contract.ts";
import type { RouteSpec } from "./route.ts";
import { problem } from "./shapes.ts";

type Schema = { [name: string]: unknown };

/** What any route can fail with; those of a run in its path come besides. */
const everywhere: readonly ErrorCode[] = [
  "usage.invalid",
  "request.unauthorized",
  "request.forbidden",
  "request.too_many",
  "engine.bug",
  "store.unavailable",
];
const withBody: readonly ErrorCode[] = ["json.invalid", "payload.too_large", "request.wrong_type", "request.too_slow"];
const withRun: readonly ErrorCode[] = ["run.invalid_id", "run.not_found"];

/** Shapes with a name of their own, which others refer to. */
class Components {
  readonly schemas: Record<string, Schema> = {};

  schemaOf(schema: z.ZodType): Schema {
    const made = z.toJSONSchema(schema, { io: "output", unrepresentable: "any" }) as Schema;
    const { $schema: _, $defs = {}, ...own } = made;
    for (const [name, shape] of Object.entries($defs as Record<string, Schema>)) this.#add(name, shape);
    const { id } = own as { id?: string };
    if (id === undefined) return renamed(own) as Schema;
    this.#add(id, own);
    return { $ref: `#/components/schemas/${id}` };
  }

  #add(name: string, schema: Schema): void {
    const shape = renamed(schema) as Schema;
    // It was for finding the shape, and is not what JSON Schema means by it.
    delete shape["id"];
    this.schemas[name] = shape;
  }
}

function renamed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(renamed);
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([name, part]) => [
      name,
      name === "$ref" && typeof part === "string" ? part.replace("#/$defs/", "#/components/schemas/") : renamed(part),
    ]),
  );
}

/** @param version of the package: what the document is of */
export function openapi(version: string): object {
  const components = new Components();
  const problems = components.schemaOf(problem);
  const paths: Record<string, Schema> = {};
  for (const [name, spec] of Object.entries(contract) as [string, RouteSpec][]) {
    const [method = "", path = ""] = name.split(" ");
    paths[path] = { ...paths[path], [method.toLowerCase()]: operation(name, spec, components, problems) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Stemma",
      version,
      description:
        "Durable workflows whose runs form a family tree. Errors are problem details (RFC 9457) with a code that is stable for ever. Lists go on by cursor. A stream that broke off goes on with Last-Event-ID, without a gap or a repeat.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{}, { token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: components.schemas,
    },
  };
}

function operation(name: string, spec: RouteSpec, components: Components, problems: Schema): Schema {
  const { summary, scope, nodes, status = 200, query, body, result, kind = "json" } = spec;
  const shape = components.schemaOf(result);
  const types = {
    json: "application/json",
    text: "text/plain",
    stream: "text/event-stream",
    lines: "application/x-ndjson",
  };
  const description = kind === "stream" ? "Server-sent events; the data of each is JSON of this schema." : "Done.";
  const made: Schema = {
    operationId: operationId(name),
    summary,
    "x-scope": scope,
    ...(nodes === true ? { "x-nodes": true } : {}),
    parameters: parametersOf(name, query && components.schemaOf(query), spec.repeats),
    responses: {
      [status]: { description, content: { [types[kind]]: { schema: shape } } },
      ...failures(name, spec, problems),
    },
  };
  if (scope === "none") made["security"] = [];
  if (body !== undefined) {
    made["requestBody"] = { content: { "application/json": { schema: components.schemaOf(body) } } };
  }
  if (spec.takes === "lines") {
    const schema = { type: "string", description: "The file that the export of a family gives." };
    made["requestBody"] = { required: true, content: { [types.lines]: { schema } } };
  }
  return made;
}

/** `POST /v1/runs/{run}/restart` as `postRunsRestart`. */
function operationId(name: string): string {
  const [method = "", path = ""] = name.split(" ");
  const words = path
    .replace("/v1", "")
    .split(/[/.]/)
    .filter((word) => word !== "");
  const names = words.map((word) => word.replace(/^\{(.*)\}$/, "by-$1")).flatMap((word) => word.split("-"));
  return method.toLowerCase() + names.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}

/** Of parts of a path that are no ids of runs. */
const inPathOf: Readonly<Record<string, Schema>> = {
  node: { description: "Name of a node", schema: { type: "string" } },
  call: { description: "Id of an execution", schema: { type: "string" } },
  wait: { description: "Key of a wait", schema: { type: "string" } },
};

function parametersOf(name: string, query: Schema | undefined, repeats: string | undefined): Schema[] {
  const inPath = [...name.matchAll(/\{(\w+)\}/g)].map(([, param = ""]) => ({
    name: param,
    in: "path",
    required: true,
    ...(inPathOf[param] ?? {
      description: "Id of a run",
      schema: { type: "string", pattern: "^run_[0-7][0-9a-hjkmnp-tv-z]{25}$" },
    }),
  }));
  const { properties = {}, required = [] } = (query ?? {}) as { properties?: Schema; required?: string[] };
  const inQuery = Object.entries(properties).map(([param, schema]) => ({
    name: param,
    in: "query",
    required: required.includes(param),
    schema,
  }));
  const key = {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    description:
      repeats === undefined
        ? "However often it is sent with this key, it is one request."
        : `It is one request however often it is sent, with or without a key: ${repeats}`,
    schema: { type: "string", minLength: 1, maxLength: 1000 },
  };
  return [...inPath, ...inQuery, ...(name.startsWith("POST ") ? [key] : [])];
}

function failures(name: string, { errors, body, scope }: RouteSpec, problems: Schema): Schema {
  const all = new Set([...errors, ...everywhere, ...(body === undefined ? [] : withBody)]);
  // Of the key that a POST may have.
  if (name.startsWith("POST ")) all.add("name.invalid");
  if (name.includes("{run}")) for (const code of withRun) all.add(code);
  if (scope === "none") all.delete("request.unauthorized");
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of all) {
    const { status } = errorCodes[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      { description: codes.join(", "), content: { "application/problem+json": { schema: problems } } },
    ]),
  );
}
