import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, it } from "vitest";
import { contract } from "./contract.ts";
import { openapi } from "./openapi.ts";

const root = join(import.meta.dirname, "../../..");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
const document = openapi(version) as { paths: Record<string, Record<string, { operationId: string }>> };

describe("the OpenAPI document", () => {
  it("is the one in docs, so that whoever changes a route sees what it changes for others", () => {
    const kept = JSON.parse(readFileSync(join(root, "docs/openapi.json"), "utf8")) as object;
    // To write it anew: npx node scripts/openapi.ts
    expect(document).toEqual(kept);
  });

  it("is valid OpenAPI 3.1, and the validator finds faults where there are some", async () => {
    const found = await new Validator().validate(JSON.parse(JSON.stringify(document)) as Record<string, unknown>);
    expect(found).toMatchObject({ valid: true });
    const broken = { ...document, paths: { "/x": { get: { responses: { 999999: 1 } } } } };
    expect(await new Validator().validate(broken)).toMatchObject({ valid: false });
  });

  it("has every route of the contract once, under an id of its own, and refers to nothing that is not there", () => {
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId }]) => [`${method.toUpperCase()} ${path}`, operationId]),
    );
    expect(operations.map(([route]) => route).toSorted()).toEqual(Object.keys(contract).toSorted());
    expect(new Set(operations.map(([, id]) => id)).size).toBe(operations.length);
    const text = JSON.stringify(document);
    const names = Object.keys((document as unknown as { components: { schemas: object } }).components.schemas);
    const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, to]) => to);
    expect(references.length).toBeGreaterThan(10);
    for (const to of references) expect(names.map((name) => `#/components/schemas/${name}`)).toContain(to);
  });
});
