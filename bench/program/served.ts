/**
 * A server that works on short workflows, and a process of its own that loads it: with requests at a steady rate, or with
 * many who follow the feed. What is measured is what the loading process sees.
 */
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { server } from "../../src/server.ts";
import { runChild } from "../harness.ts";
import type { Where } from "../place.ts";
import { placeOf } from "../place.ts";
import { quantile } from "../spread.ts";
import { open } from "../work.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** Serves and works until the loading process, another program of this bench, is done; gives what that found. */
export async function served({
  load,
  args,
  ...where
}: Where & { load: string; args: object }): Promise<Record<string, number>> {
  await using engine = await open(placeOf(where));
  await engine.start();
  await using listening = await server(engine.stemma, { port: 0, log: silent, streams: 5000 }).listen();
  const found = await runChild(load, { ...args, port: listening.port });
  await engine.expectDurable();
  return found;
}

/** Of four requests one starts a run of two steps and three look at one. Each is sent when its time has come, answered or not. */
export async function requests({
  port,
  perSecond,
  seconds,
}: {
  port: number;
  perSecond: number;
  seconds: number;
}): Promise<Record<string, number>> {
  const times: number[] = [];
  let run = "";
  let failed = 0;
  const one = async (n: number, dueAt: number, counted: boolean): Promise<void> => {
    try {
      const body = JSON.stringify({ workflow: "work", input: { steps: 2 } });
      const answer =
        n % 4 === 0 || run === ""
          ? await ask(port, "POST", "/v1/runs", body)
          : await ask(
              port,
              "GET",
              n % 4 === 1 ? "/v1/runs?limit=20" : `/v1/runs/${run}${n % 4 === 2 ? "" : "/history"}`,
            );
      if (n % 4 === 0) run = (JSON.parse(answer) as { id: string }).id;
      // From when it was due: a server that stands still must not make fewer be counted.
      if (counted) times.push(performance.now() - dueAt);
    } catch {
      failed += 1;
    }
  };
  const warmUp = perSecond * 2;
  const all = warmUp + perSecond * seconds;
  const start = performance.now();
  const pending: Promise<void>[] = [];
  for (let n = 0; n < all; n += 1) {
    const dueAt = start + (n * 1000) / perSecond;
    const early = dueAt - performance.now();
    if (early > 0) await sleep(early);
    pending.push(one(n, dueAt, n >= warmUp));
  }
  await Promise.all(pending);
  times.sort((a, b) => a - b);
  if (failed > 0) throw new Error(`${failed} requests failed.`);
  return {
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    perSecond: (all * 1000) / (performance.now() - start),
  };
}

/** Many follow the feed while runs are started one after another; each has to see every event, once and in order. */
export async function followers({
  port,
  readers,
  runs,
}: {
  port: number;
  readers: number;
  runs: number;
}): Promise<Record<string, number>> {
  const delays: number[] = [];
  const seen = Array.from({ length: readers }, () => 0);
  const openAt = performance.now();
  const lines = await Promise.all(
    Array.from({ length: readers }, async (_, reader) => {
      const response = await respond(port, "GET", "/v1/feed");
      let rest = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        const blocks = (rest + chunk).split("\n\n");
        rest = blocks.pop() ?? "";
        const now = Date.now();
        for (const block of blocks) {
          const [, position, at] = /^id: (\d+)\ndata: .*?"at":(\d+)/.exec(block) ?? [];
          if (position === undefined) continue;
          const before = seen[reader] ?? 0;
          if (Number(position) !== before + 1) throw new Error(`Reader ${reader} got ${position} behind ${before}.`);
          seen[reader] = Number(position);
          delays.push(now - Number(at));
        }
      });
      return response;
    }),
  );
  const opened = performance.now() - openAt;
  const start = performance.now();
  const body = JSON.stringify({ workflow: "work", input: { steps: 2 } });
  for (let n = 0; n < runs; n += 1) {
    await ask(port, "POST", "/v1/runs", body);
    await sleep(20);
  }
  // Created, started, two steps, ended.
  const events = runs * 5;
  while (seen.some((position) => position < events)) await sleep(5);
  const seconds = (performance.now() - start) / 1000;
  for (const line of lines) line.destroy();
  delays.sort((a, b) => a - b);
  return {
    opened,
    p50: quantile(delays, 0.5),
    p99: quantile(delays, 0.99),
    perSecond: (events * readers) / seconds,
  };
}

function respond(port: number, method: string, path: string, body = ""): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers =
      body === "" ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const asked = request({ port, host: "127.0.0.1", method, path, headers }, resolve);
    asked.on("error", reject);
    asked.end(body);
  });
}

async function ask(port: number, method: string, path: string, body = ""): Promise<string> {
  const response = await respond(port, method, path, body);
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += String(chunk);
  if ((response.statusCode ?? 500) >= 400) throw new Error(text);
  return text;
}
