/**
 * Follows a stream of server-sent events to its end, through every line that breaks: it connects again behind the last
 * event that it gave, so each comes once and in order.
 */
import { isStemmaError, StemmaError } from "../../core/error.ts";
import type { ResultOf, RouteName } from "../contract/routes.ts";
import type { Connection, Wish } from "./connection.ts";

export type FollowOptions = {
  signal?: AbortSignal | undefined;
  /** How long the server may be away, in milliseconds, before it is given up. Default 60,000. */
  patienceMs?: number;
};

/** A server says something every 15 s; one that says nothing for so long is gone, whatever the line says. */
const silenceMs = 45_000;
const pauseMs = { first: 50, max: 2000 };

/** Throws server.unreachable when it is away for too long, and what the route throws. */
export async function* followStream<R extends RouteName>(
  connection: Connection,
  route: R,
  wish: Wish<R>,
  { signal, patienceMs = 60_000 }: FollowOptions = {},
): AsyncGenerator<ResultOf<R>> {
  const isUnwanted = (): boolean => signal?.aborted === true;
  let lastEventId: number | undefined;
  let waitMs = pauseMs.first;
  let heardAt = performance.now();
  while (!isUnwanted()) {
    const line = new AbortController();
    const leave = (): void => line.abort();
    signal?.addEventListener("abort", leave);
    try {
      const response = await connection.open(route, { ...wish, lastEventId, signal: line.signal });
      for await (const { id, type, data } of eventsOf(response, line)) {
        heardAt = performance.now();
        waitMs = pauseMs.first;
        lastEventId = id ?? lastEventId;
        if (type === "end") return;
        if (data === "") continue;
        yield JSON.parse(data) as ResultOf<R>;
        if (isUnwanted()) return;
      }
    } catch (error) {
      if (isUnwanted()) return;
      if (isStemmaError(error) && !error.retryable) throw error;
      if (performance.now() - heardAt > patienceMs) throw gone(connection, error);
    } finally {
      signal?.removeEventListener("abort", leave);
      line.abort();
    }
    await pause(waitMs, signal);
    waitMs = Math.min(waitMs * 2, pauseMs.max);
  }
}

function gone({ url }: Connection, cause: unknown): StemmaError {
  return isStemmaError(cause)
    ? cause
    : new StemmaError("server.unreachable", `The stream from ${url} broke off, and does not come back.`, { cause });
}

type ServerEvent = { id?: number; type: string; data: string };

/** The events of a response, and those without data, which only say how far it has come. One that is cut off is none. */
async function* eventsOf(response: Response, line: AbortController): AsyncGenerator<ServerEvent> {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  // What fetch does about a body whose signal is aborted depends on who still holds its request: none does here, and
  // once it was collected a reader who left would wait for ever.
  const leave = (): void => void reader.cancel().catch(() => {});
  line.signal.addEventListener("abort", leave);
  let timer = setTimeout(() => line.abort(), silenceMs);
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => line.abort(), silenceMs);
      text += value.replaceAll("\r", "");
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) yield eventOf(block);
    }
  } finally {
    clearTimeout(timer);
    leave();
  }
}

function eventOf(block: string): ServerEvent {
  const event: ServerEvent = { type: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, field = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "id" && /^\d+$/.test(value)) event.id = Number(value);
    else if (field === "event") event.type = value;
    else if (field === "data") event.data += event.data === "" ? value : `\n${value}`;
  }
  return event;
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
    if (signal?.aborted === true) done();
  });
}
