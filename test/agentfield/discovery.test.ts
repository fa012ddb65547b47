/** What agents are told of what there is to call, over AgentField's wire. */
import { expect, test } from "vitest";
import { plane } from "./place.ts";

test("agents look for what they can call by name, tag, health and agent, with schemas where they ask for them, in three forms", async () => {
  await using at = await plane();
  const schema = { type: "object", properties: { text: { type: "string" } } };
  const registered = await at.ask("POST", "/api/v1/nodes/register", {
    id: "alpha",
    base_url: "http://127.0.0.1:9",
    reasoners: [
      // Tags are anybody's words: with slashes and colons, as policies have them.
      {
        id: "deep_think",
        tags: ["team/a", "pii::low", ""],
        input_schema: schema,
        output_schema: {},
        description: "a < b",
      },
      { id: "plain" },
    ],
    skills: [{ id: "tool", tags: ["pii::high"] }],
  });
  expect(registered.status).toBe(201);
  await at.ask("POST", "/api/v1/nodes/register", {
    id: "beta",
    base_url: "http://127.0.0.1:8",
    reasoners: [{ id: "f" }],
  });
  const targets = async (query: string): Promise<string[]> => {
    const { body } = await at.ask("GET", `/api/v1/discovery/capabilities?format=compact&${query}`);
    const { reasoners, skills } = body as { reasoners: { target: string }[]; skills: { target: string }[] };
    return [...reasoners, ...skills].map(({ target }) => target);
  };
  expect(await targets("")).toEqual(["alpha:deep_think", "alpha:plain", "beta:f", "alpha:skill:tool"]);
  expect(await targets("tags=pii::*")).toEqual(["alpha:deep_think", "alpha:skill:tool"]);
  expect(await targets("tags=team/a,none")).toEqual(["alpha:deep_think"]);
  expect(await targets("reasoner=*_th*&skill=x")).toEqual(["alpha:deep_think"]);
  expect(await targets("agent_ids=beta,gamma")).toEqual(["beta:f"]);
  expect(await targets("health_status=inactive")).toEqual([]);
  const [json, full] = await Promise.all(
    ["", "&include_input_schema=true&include_output_schema=1"].map((more) =>
      at.ask("GET", `/api/v1/discovery/capabilities?agent=alpha&reasoner=deep*&skill=none${more}`),
    ),
  );
  const told = {
    id: "deep_think",
    description: "a < b",
    tags: ["team/a", "pii::low"],
    invocation_target: "alpha:deep_think",
  };
  expect(json?.body).toMatchObject({ total_agents: 1, total_skills: 0, capabilities: [{ health_status: "active" }] });
  expect(json?.body["capabilities"]).toMatchObject([{ reasoners: [told] }]);
  expect(JSON.stringify(json?.body)).not.toContain("schema");
  expect(full?.body["capabilities"]).toMatchObject([
    { reasoners: [{ ...told, input_schema: schema, output_schema: {} }] },
  ]);
  const page = await at.ask("GET", "/api/v1/discovery/capabilities?limit=1&offset=1");
  expect(page.body).toMatchObject({
    total_agents: 2,
    pagination: { limit: 1, offset: 1, has_more: false },
    capabilities: [{ agent_id: "beta" }],
  });
  const xml = await at.ask("GET", "/api/v1/discovery/capabilities?format=xml&agent=alpha");
  expect(xml.headers.get("content-type")).toBe("application/xml");
  expect(xml.body["text"]).toContain('<reasoner id="deep_think" target="alpha:deep_think"><description>a &lt; b<');
  for (const query of ["format=yaml", "limit=-1", "health_status=broken", "include_examples=maybe"]) {
    expect(await at.ask("GET", `/api/v1/discovery/capabilities?${query}`)).toMatchObject({
      status: 400,
      body: { error: "invalid_parameter", details: { parameter: query.split("=")[0] } },
    });
  }
});
