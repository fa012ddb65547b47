/**
 * The life of executions over AgentField's wire, with the outcomes of this server (section E of the behaviours of control
 * planes, as far as it is about the wire): pause, cancel, reports, approvals, and what is told of waits. What becomes of
 * work when nodes and servers are killed: `crash.test`.
 *
 *     E1   pause and resume                  E5   cancelled before it was given out     E8   approvals
 *     E2   cancel                            E6   reports, late, again, other            E9   waits of others
 *     E3   cancel-tree                       E7   while it waits                         E13  who waits at the line
 *     E4   paused before it was given out
 */
import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { fresh, until } from "../stage.ts";
import type { Work } from "./agent.ts";
import type { Plane } from "./place.ts";
import { plane } from "./place.ts";

const nobody = `run_${"0".repeat(26)}`;

/** An agent whose function ends when it is told to, and hears when it is to stop. */
async function holding(options: Parameters<typeof plane>[0] = {}) {
  const at = await plane(options);
  const gate = { open: Promise.withResolvers<void>(), stopped: 0 };
  const one = await at.agent({
    id: "one",
    reasoners: {
      hold: async ({ signal }) => {
        signal.addEventListener("abort", () => (gate.stopped += 1));
        await Promise.race([gate.open.promise, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
        if (signal.aborted) throw new Error("stopped");
        return { done: true };
      },
      tree: async ({ call }) => {
        await call("two.quick", {});
        await call("two.quick", { n: 2 });
        return call("two.middle", {});
      },
    },
  });
  const two = await at.agent({
    id: "two",
    reasoners: { quick: () => ({}), middle: async ({ call }: Work) => call("one.hold", {}) },
  });
  const post = (id: string, verb: string, body: object = {}) =>
    at.ask("POST", `/api/v1/executions/${id}/${verb}`, body);
  return {
    at,
    gate,
    one,
    two,
    post,
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]();
    },
  };
}

async function statusIs(at: Plane, id: string, status: string): Promise<void> {
  await until(async () => (await at.execution(id))["status"] === status);
}

describe("steering", () => {
  test("E1: paused only while it runs, resumed only while it is paused; what it was before is said", async () => {
    await using on = await holding();
    const { at, post, one } = on;
    const id = await at.begin("one.hold");
    await until(() => one.entered("hold") === 1);
    expect((await post(id, "resume")).status).toBe(409);
    const paused = await post(id, "pause", { reason: "lunch" });
    expect(paused).toMatchObject({ status: 200 });
    expect(paused.body).toMatchObject({
      execution_id: id,
      previous_status: "running",
      status: "paused",
      reason: "lunch",
    });
    expect(Number.isFinite(Date.parse(String(paused.body["paused_at"])))).toBe(true);
    expect((await at.execution(id))["status"]).toBe("paused");
    expect((await post(id, "pause")).body).toMatchObject({ error: "invalid_state" });
    const resumed = await post(id, "resume");
    expect(resumed.body).toMatchObject({ previous_status: "paused", status: "running" });
    expect(resumed.body).not.toHaveProperty("reason");
    on.gate.open.resolve();
    await statusIs(at, id, "succeeded");
    for (const verb of ["pause", "resume", "cancel"]) {
      expect([verb, (await post(id, verb)).status]).toEqual([verb, 409]);
      expect([verb, (await post(nobody, verb)).status]).toEqual([verb, 404]);
    }
  });

  test("E2: cancelled from running and from paused, and its agent hears of it; E13: who waits at the line is answered", async () => {
    await using on = await holding();
    const { at, post, one, gate } = on;
    const sync = at.ask("POST", "/api/v1/execute/one.hold", { input: {} });
    await until(() => one.entered("hold") === 1);
    const { execution_id: id } = (
      (await at.ask("GET", "/api/ui/v2/workflow-runs")).body["runs"] as { root_execution_id: string }[]
    ).map((run) => ({ execution_id: run.root_execution_id }))[0]!;
    const cancelled = await post(id, "cancel", { reason: "enough" });
    expect(cancelled.body).toMatchObject({ previous_status: "running", status: "cancelled", reason: "enough" });
    expect(await sync).toMatchObject({ status: 409, body: { status: "cancelled", execution_id: id } });
    await until(() => gate.stopped === 1);
    expect(one.seen.some(({ path }) => path === `/_internal/executions/${id}/cancel`)).toBe(true);
    expect(await at.execution(id)).toMatchObject({ status: "cancelled", status_reason: "enough" });
    const other = await at.begin("one.hold");
    await until(() => one.entered("hold") === 2);
    await post(other, "pause");
    expect((await post(other, "cancel")).body).toMatchObject({ previous_status: "paused", status: "cancelled" });
    expect((await post(other, "cancel")).body).toMatchObject({ error: "invalid_state" });
  });

  test("E3: a tree is ended from its leaves on, and what was over is counted; all over is nothing to do", async () => {
    await using on = await holding();
    const { at, one } = on;
    const id = await at.begin("one.tree");
    await until(() => one.entered("hold") === 1);
    const { status, body } = await at.ask("POST", `/api/v1/workflows/${id}/cancel-tree`, { reason: "stop" });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      run_id: id,
      total_nodes: 5,
      cancelled_count: 3,
      skipped_count: 2,
      error_count: 0,
      reason: "stop",
    });
    const nodes = body["nodes"] as {
      workflow_depth: number;
      reasoner_id: string;
      skip_reason?: string;
      status: string;
    }[];
    expect(nodes.map((node) => node.workflow_depth)).toEqual([2, 1, 1, 1, 0]);
    expect(
      nodes.filter((node) => node.skip_reason !== undefined).map((node) => [node.reasoner_id, node.skip_reason]),
    ).toEqual([
      ["quick", "terminal"],
      ["quick", "terminal"],
    ]);
    const again = await at.ask("POST", `/api/v1/workflows/${id}/cancel-tree`, {});
    expect(again.body).toMatchObject({ total_nodes: 5, cancelled_count: 0, skipped_count: 5 });
    expect((await at.ask("POST", `/api/v1/workflows/${nobody}/cancel-tree`, {})).status).toBe(404);
  });

  test("E4, E5: paused before any node could have it, it is given out when it is resumed; cancelled then, never", async () => {
    await using on = await holding();
    const { at, post, one } = on;
    await one.close();
    const [paused, cancelled] = [await at.begin("one.hold"), await at.begin("one.hold")];
    await statusIs(at, paused, "running");
    expect((await post(paused, "pause")).status).toBe(200);
    expect((await post(cancelled, "cancel")).status).toBe(200);
    const entered: string[] = [];
    await at.agent({ id: "one", reasoners: { hold: ({ execution }) => void entered.push(execution) } });
    const other = await at.begin("one.hold");
    await statusIs(at, other, "succeeded");
    expect(entered).toEqual([other]);
    await post(paused, "resume");
    await statusIs(at, paused, "succeeded");
    expect(entered.map((id) => id.split(".")[0])).toEqual([other, paused]);
    expect((await at.execution(cancelled))["status"]).toBe("cancelled");
  });
});

describe("reports", () => {
  test("E6: a late running changes nothing, the same end again is fine, another end is refused", async () => {
    await using on = await holding();
    const { at, post } = on;
    on.gate.open.resolve();
    const id = await at.begin("one.hold");
    await statusIs(at, id, "succeeded");
    const running = await post(id, "status", { status: "running", progress: 50 });
    expect(running).toMatchObject({ status: 200, body: { status: "succeeded" } });
    expect((await post(id, "status", { status: "completed", result: { done: true } })).status).toBe(200);
    for (const status of ["failed", "cancelled", "timeout"]) {
      expect([status, (await post(id, "status", { status, error: "late" })).status]).toEqual([status, 409]);
    }
    expect(await at.execution(id)).toMatchObject({ status: "succeeded", result: { done: true } });
    expect((await post(nobody, "status", { status: "succeeded" })).status).toBe(404);
    expect((await post(id, "status", { status: "whatever" })).status).toBe(400);
  });

  test("a failure says what the agent said; a failing agent at the line is a bad gateway; its own refusals are passed on", async () => {
    await using at = await plane();
    const boom = (): never => {
      throw new Error("boom");
    };
    await at.agent({ id: "far", reasoners: { boom } });
    await at.agent({
      id: "near",
      detached: false,
      reasoners: {
        boom,
        refuse: () => {
          throw Object.assign(new Error("not you"), { status: 403 });
        },
        plain: () => 5,
      },
    });
    const id = await at.begin("far.boom");
    expect(await at.ended(id)).toMatchObject({ status: "failed", error: "boom", result: null });
    for (const target of ["far.boom", "near.boom"]) {
      const { status, body } = await at.ask("POST", `/api/v1/execute/${target}`, { input: {} });
      expect(status).toBe(502);
      expect(body).toMatchObject({
        error_category: "agent_error",
        status: "failed",
        error: expect.stringContaining("boom"),
      });
    }
    expect((await at.ask("POST", "/api/v1/execute/near.refuse", { input: {} })).status).toBe(403);
    expect((await at.ask("POST", "/api/v1/execute/near.plain", { input: {} })).body).toMatchObject({
      status: "succeeded",
      result: 5,
    });
  });
});

describe("approvals", () => {
  const secret = "a secret of both sides";
  const signed = (body: object, at = Math.floor(Date.now() / 1000), key = secret): Record<string, string> => {
    const mac = createHmac("sha256", key)
      .update(`${at}.${JSON.stringify(body)}`)
      .digest("hex");
    return { "x-webhook-signature": `t=${at},v1=${mac}` };
  };

  async function asking(program: (work: Work) => unknown) {
    const at = await plane({ agentfield: { approvalSecret: secret } });
    const made = await at.agent({ id: "one", reasoners: { ask: program } });
    const decide = (body: object, headers = signed(body)) =>
      at.ask("POST", "/api/v1/webhooks/approval-response", JSON.stringify(body), headers);
    return {
      at,
      made,
      decide,
      async [Symbol.asyncDispose]() {
        await at[Symbol.asyncDispose]();
      },
    };
  }

  test("E8: asked, shown, decided, told: it goes on with what was said; a second decision finds it done", async () => {
    await using on = await asking(async ({ approve }) => ({ said: await approve("req-1") }));
    const { at, decide } = on;
    const id = await at.begin("one.ask");
    await statusIs(at, id, "waiting");
    expect(await at.execution(id)).toMatchObject({
      status_reason: "waiting_for_approval",
      approval_request_id: "req-1",
      approval_status: "pending",
      approval_request_url: "https://people.example/req-1",
    });
    const path = `/api/v1/agents/one/executions/${id}`;
    const pending = (await at.ask("GET", `${path}/approval-status`)).body;
    expect(pending).toMatchObject({ status: "pending", requested_at: expect.stringMatching(/^20.*Z$/) as string });
    expect(Object.keys(pending)).not.toContain("responded_at");
    expect((await at.ask("POST", `${path}/request-approval`, { approval_request_id: "req-2" })).body).toMatchObject({
      error: "approval_already_requested",
      approval_request_id: "req-1",
    });
    const other = await at.ask("POST", `/api/v1/agents/two/executions/${id}/request-approval`, {});
    expect(other).toMatchObject({ status: 403, body: { error: "execution_ownership_mismatch" } });
    const said = { requestId: "req-1", decision: "approved", feedback: "fine", response: { amount: 3 } };
    expect((await decide(said)).body).toMatchObject({ status: "processed", new_status: "running" });
    const ended = await at.ended(id);
    expect(ended["result"]).toMatchObject({
      said: {
        decision: "approved",
        feedback: "fine",
        approval_request_id: "req-1",
        response: '{"amount":3}',
        execution_id: id,
      },
    });
    expect((await decide(said)).body).toMatchObject({
      status: "already_processed",
      decision: "approved",
      current_status: "succeeded",
    });
    expect((await at.ask("GET", `${path}/approval-status`)).body).toMatchObject({
      status: "approved",
      response: { amount: 3 },
      responded_at: expect.stringMatching(/^20.*Z$/) as string,
    });
    expect((await at.ask("POST", `${path}/request-approval`, {})).body).toMatchObject({ error: "invalid_state" });
  });

  test("E8: a second round after changes were asked for; what is rejected is cancelled, and its agent is told why", async () => {
    const told: unknown[] = [];
    await using on = await asking(async ({ approve }) => {
      const first = await approve("round-1");
      told.push(first.decision);
      const second = await approve("round-2");
      told.push(second.decision);
      return {};
    });
    const { at, decide } = on;
    const id = await at.begin("one.ask");
    await statusIs(at, id, "waiting");
    await decide({ requestId: "round-1", decision: "request_changes", feedback: "shorter" });
    await until(async () => (await at.execution(id))["approval_request_id"] === "round-2");
    await decide({ requestId: "round-2", decision: "rejected" });
    await statusIs(at, id, "cancelled");
    await until(() => told.length === 2);
    expect(told).toEqual(["request_changes", "rejected"]);
  });

  test("E8: a decision comes in the envelope of the place where people decide, whatever its forms call it", async () => {
    const rounds = ["a", "b", "c", "d"];
    await using on = await asking(async ({ approve }) => {
      const said: unknown[] = [];
      for (const round of rounds) {
        const { decision, feedback, response } = await approve(round);
        said.push([decision, feedback, response]);
      }
      return { said };
    });
    const { at, decide } = on;
    const id = await at.begin("one.ask");
    const forms: [type: string, data: object][] = [
      ["completed", { response: { decision: "approve", feedback: "LGTM" } }],
      ["completed", { response: { action: "continue" } }],
      ["completed", { response: { signature: "J" } }],
      ["expired", {}],
    ];
    for (const [n, [type, data]] of forms.entries()) {
      const requestId = rounds[n];
      await until(async () => (await at.execution(id))["approval_request_id"] === requestId);
      const envelope = { id: `evt_${n}`, type, createdAt: "2026-01-01T00:00:00Z", data: { requestId, ...data } };
      expect((await decide(envelope)).body).toMatchObject({ status: "processed" });
    }
    await statusIs(at, id, "cancelled");
    const told = on.made.seen.filter(({ path }) => path === "/webhooks/approval").map(({ body }) => body);
    await until(() => on.made.seen.filter(({ path }) => path === "/webhooks/approval").length === 4);
    expect(told[0]).toMatchObject({ decision: "approved", feedback: "LGTM", approval_request_id: "a" });
    expect(told[1]).toMatchObject({ decision: "approved", response: '{"action":"continue"}' });
    expect(told[2]).toMatchObject({ decision: "approved", response: '{"signature":"J"}' });
    expect(
      (await decide({ id: "evt", type: "completed", data: { requestId: "a", response: { action: "?" } } })).status,
    ).toBe(400);
  });

  test("E8: a decision that comes again after the server was started anew is one that was taken already", async () => {
    const store = fresh();
    await using _closed = { [Symbol.asyncDispose]: () => store.close() };
    const body = { requestId: "req-1", decision: "approved" };
    const decideAt = (at: Plane) =>
      at.ask("POST", "/api/v1/webhooks/approval-response", JSON.stringify(body), signed(body));
    {
      await using first = await plane({ engine: { store }, agentfield: { approvalSecret: secret } });
      await first.agent({ id: "one", reasoners: { ask: ({ approve }) => approve("req-1") } });
      const id = await first.begin("one.ask");
      await statusIs(first, id, "waiting");
      expect((await decideAt(first)).body).toMatchObject({ status: "processed" });
      await first.ended(id);
    }
    await using second = await plane({ engine: { store }, agentfield: { approvalSecret: secret } });
    expect(await decideAt(second)).toMatchObject({
      status: 200,
      body: { status: "already_processed", decision: "approved", current_status: "succeeded" },
    });
  });

  test("E8: unsigned, wrongly signed or signed long ago is 401; without a secret nothing is taken", async () => {
    await using on = await asking(async ({ approve }) => approve("req-1"));
    const body = { requestId: "req-1", decision: "approved" };
    const now = Math.floor(Date.now() / 1000);
    const id = await on.at.begin("one.ask");
    await statusIs(on.at, id, "waiting");
    for (const headers of [
      {},
      signed(body, now, "another"),
      signed(body, now - 3600),
      signed({ ...body, decision: "rejected" }),
    ]) {
      expect((await on.decide(body, headers)).status).toBe(401);
    }
    const plain = { "x-hub-signature-256": `sha256=${createHmac("sha256", secret).update("{").digest("hex")}` };
    expect((await on.at.ask("POST", "/api/v1/webhooks/approval-response", "{", plain)).status).toBe(400);
    expect((await on.decide({ requestId: "nobody", decision: "approved" })).status).toBe(404);
    await using bare = await plane();
    expect(
      (await bare.ask("POST", "/api/v1/webhooks/approval-response", JSON.stringify(body), signed(body))).status,
    ).toBe(503);
    expect((await on.at.execution(id))["status"]).toBe("waiting");
  });

  test("E7: while a person is asked it takes no success; a failure is one", async () => {
    await using on = await asking(async ({ approve }) => approve("req-1"));
    const id = await on.at.begin("one.ask");
    await statusIs(on.at, id, "waiting");
    const report = (status: string) =>
      on.at.ask("POST", `/api/v1/executions/${id}/status`, { status, error: "given up" });
    expect((await report("succeeded")).status).toBe(409);
    expect((await report("running")).status).toBe(200);
    expect((await report("failed")).status).toBe(200);
    expect(await on.at.ended(id)).toMatchObject({ status: "failed", error: "given up" });
  });

  test("E9: who waits for one that waits says so, and runs again; what it asks itself is not overridden", async () => {
    await using on = await holding();
    const { at, one } = on;
    const id = await at.begin("one.hold");
    await until(() => one.entered("hold") === 1);
    const path = `/api/v1/agents/one/executions/${id}/awaiter-status`;
    const tell = (body: object, at_: string = path) => at.ask("POST", at_, body);
    expect((await tell({ status: "waiting", reason: "awaiting child x" })).body).toMatchObject({
      status: "waiting",
      applied: true,
    });
    expect(await at.execution(id)).toMatchObject({ status: "waiting", status_reason: "awaiting child x" });
    expect((await tell({ status: "waiting" })).body).toMatchObject({ applied: false });
    expect((await tell({ status: "running" })).body).toMatchObject({ status: "running", applied: true });
    expect((await tell({ status: "paused" })).status).toBe(400);
    expect((await tell({ status: "waiting" }, path.replace("/one/", "/two/"))).status).toBe(403);
    on.gate.open.resolve();
    await statusIs(at, id, "succeeded");
    expect((await tell({ status: "waiting" })).body).toMatchObject({ status: "succeeded", applied: false });
    await using asks = await asking(async ({ approve }) => approve("req-1"));
    const waiting = await asks.at.begin("one.ask");
    await statusIs(asks.at, waiting, "waiting");
    const own = await asks.at.ask("POST", `/api/v1/agents/one/executions/${waiting}/awaiter-status`, {
      status: "running",
    });
    expect(own.body).toMatchObject({ status: "waiting", applied: false });
  });
});
