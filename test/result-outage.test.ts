/** Who waits for the result of a run does not lose it because the store was away for a while. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { afterAll, describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import { postgres } from "../src/postgres.ts";
import { faults } from "../src/testing.ts";
import { dropSchema, newSchema, postgresUrl, schemasMade } from "./postgres/database.ts";
import { errorOf, fresh, listening, silent, stage, until } from "./stage.ts";

const asks = workflow({ name: "asks" }, async (ctx) => ({ said: await ctx.wait("word"), much: "x".repeat(50_000) }));

afterAll(async () => dropSchema(await postgresUrl(), schemasMade));

describe("run.result()", () => {
  it("goes on when the store can be read again, in the midst of the wait or of reading the end; it warns once", async () => {
    await using store = fresh();
    await using worker = await stage([asks], { store });
    const away = faults(store);
    const log = listening();
    const client = new Stemma({ store: away, log });
    const { id } = await worker.stemma.run(asks, undefined);
    const back = away.fail("list", "store.unavailable", { at: 2, times: 1_000_000 });
    const result = (await client.get(id)).result();
    await until(() => log.lines.length > 0);
    await until(async () => (await worker.stemma.waits()).waits.length === 1);
    await worker.stemma.resume(id, "word", "yes");
    await (await worker.stemma.get(id)).result();
    const [history, payloads] = [
      away.fail("history", "store.busy", { at: 1, times: 3 }),
      away.fail("payloads", "store.unavailable", { at: 1, times: 3 }),
    ];
    back();
    expect(await result).toEqual({ said: "yes", much: "x".repeat(50_000) });
    history();
    payloads();
    expect(log.lines.filter((line) => line.includes("asked again until it can"))).toHaveLength(3);
    await client.stop();
  });

  it("is rejected for what cannot pass, and when the Stemma that waits is stopped while the store is away", async () => {
    await using store = fresh();
    const away = faults(store);
    const client = new Stemma({ store: away, log: silent });
    const { id } = await client.run(asks, undefined);
    const corrupt = away.fail("list", "store.corrupt", { at: 1, times: 1_000_000 });
    const handle = client.run(asks, undefined, { id });
    expect(await errorOf((await handle).result())).toMatchObject({ code: "store.corrupt" });
    corrupt();
    away.fail("list", "store.unavailable", { at: 1, times: 1_000_000 });
    const waiting = errorOf((await handle).result());
    await client.stop();
    expect(await waiting).toMatchObject({ code: "engine.stopped" });
  });

  it("outlives a PostgreSQL server that nobody reaches for a second", async () => {
    const url = new URL(await postgresUrl());
    const schema = newSchema();
    const gate = await openGate(Number(url.port), url.hostname);
    const own = postgres({ url: url.href, schema });
    await using worker = await stage([asks], { store: own });
    const there = new URL(url);
    there.port = String(gate.port);
    there.hostname = "127.0.0.1";
    const far = postgres({ url: there.href, schema });
    const log = listening();
    const client = new Stemma({ store: far, log });
    const { id } = await worker.stemma.run(asks, undefined);
    const result = (await client.get(id)).result();
    await gate.shut();
    await until(() => log.lines.some((line) => line.startsWith("warn The store cannot be asked")));
    await until(async () => (await worker.stemma.waits()).waits.length === 1);
    await worker.stemma.resume(id, "word", "yes");
    await (await worker.stemma.get(id)).result();
    await gate.open();
    expect(await result).toMatchObject({ said: "yes" });
    await client.stop();
    await far.close();
    await worker[Symbol.asyncDispose]();
    await own.close();
    await gate.shut();
  });
});

/** A way to a server that can be shut: then nobody listens at its port, and who was connected is cut off. */
async function openGate(port: number, host: string) {
  const sockets = new Set<Socket>();
  let server: Server;
  let at = 0;
  const open = async (): Promise<void> => {
    server = createServer((socket) => {
      const other = connect(port, host);
      for (const [from, to] of [
        [socket, other],
        [other, socket],
      ] as const) {
        sockets.add(from);
        from.pipe(to);
        from.on("error", () => to.destroy());
        from.on("close", () => (sockets.delete(from), to.destroy()));
      }
    });
    server.listen(at, "127.0.0.1");
    await once(server, "listening");
    at = (server.address() as AddressInfo).port;
  };
  await open();
  return {
    get port() {
      return at;
    },
    open,
    async shut() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
