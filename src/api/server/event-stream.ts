/**
 * A follower as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). It is asked for
 * more only when what was sent is on its way, so a reader who is slow costs a few dozen entries of memory. When nothing
 * happens a comment goes out now and then, which also tells the reader how far the feed has come; when nothing will
 * happen any more, an event `end`, so that nobody mistakes it for a broken line.
 */
import type { Follower, Item } from "./follow.ts";

export type StreamOptions = {
  /** A comment after so many milliseconds without an event. */
  heartbeatMs: number;
  /** Aborted when the server stops. */
  stopped: AbortSignal;
  /** Told once, when the reader is gone or nothing comes any more. */
  left: () => void;
  /** Told what broke it off. */
  failed: (error: unknown) => void;
};

export function eventStream(follower: Follower, options: StreamOptions): Response {
  const { heartbeatMs, stopped, left, failed } = options;
  const gone = new AbortController();
  const signal = AbortSignal.any([gone.signal, stopped]);
  const encoder = new TextEncoder();
  let isOver = false;
  const over = (): void => {
    if (!isOver) left();
    isOver = true;
  };
  let first = true;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          if (first) {
            first = false;
            // So that the reader knows at once that it is connected.
            return controller.enqueue(encoder.encode("retry: 1000\n\n"));
          }
          const { items, at, end } = await follower(heartbeatMs, signal);
          if (gone.signal.aborted) return;
          const text = `${items.map(eventText).join("")}${end === true ? "event: end\ndata: {}\n\n" : ""}`;
          const beat = at === undefined ? ":\n\n" : `:\nid: ${at}\n\n`;
          controller.enqueue(encoder.encode(text === "" ? beat : text));
          if (end !== true && !stopped.aborted) return;
        } catch (error) {
          failed(error);
        }
        over();
        controller.close();
      },
      cancel() {
        gone.abort();
        over();
      },
    },
    { highWaterMark: 1 },
  );
  return new Response(body, {
    headers: { "content-type": "text/event-stream", "x-accel-buffering": "no" },
  });
}

/** JSON text has no line breaks, so an event is one line of data. */
function eventText({ id, json }: Item): string {
  return `id: ${id}\ndata: ${json}\n\n`;
}
