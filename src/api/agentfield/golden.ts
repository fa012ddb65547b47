/** Golden runs, as AgentField's tools mark them. */
import type { Answer } from "./answer.ts";
import { ok, refusal } from "./answer.ts";
import { rootOf, rowOf } from "./executions.ts";
import type { Asked } from "./mount.ts";
import { summaryOf } from "./run-summary.ts";
import type { Wire } from "./wire.ts";

const nameCharsMax = 180;

/** Marks a run that succeeded as one that others are held against. */
export async function markGolden(wire: Wire, { params, body, by }: Asked): Promise<Answer> {
  if (body === undefined || body === null || typeof body !== "object" || Array.isArray(body)) {
    return refusal(400, "Expected a JSON object: { name?, tags? }.");
  }
  const { name, tags } = body as { name?: unknown; tags?: unknown };
  if (name !== undefined && typeof name !== "string") return refusal(400, "Expected name to be a string.");
  if (tags !== undefined && !(Array.isArray(tags) && tags.every((tag) => typeof tag === "string"))) {
    return refusal(400, "Expected tags to be a list of strings.");
  }
  const row = await rowOf(wire.stemma.store, params["run"] ?? "");
  if (row === undefined) return refusal(404, `There is no run ${(params["run"] ?? "").slice(0, 100)} here.`);
  const root = await rootOf(wire.stemma.store, row.id);
  if (root.state.status !== "succeeded") {
    return refusal(409, `Expected a run that succeeded; ${root.id} is ${root.state.status}.`);
  }
  const cleaned = [...new Set((tags ?? []).map((tag) => tag.trim()).filter((tag) => tag !== ""))];
  const called = name?.trim() ?? "";
  await wire.stemma.golden(root.id, {
    name: called === "" ? root.id : called.slice(0, nameCharsMax),
    tags: cleaned,
    ...by,
  });
  return ok(await summaryOf(wire, root));
}
