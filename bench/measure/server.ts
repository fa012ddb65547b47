/** What the server answers and how soon, loaded from a process of its own while it also works on what is started. */
import { plain } from "../found.ts";
import type { Measurement } from "../harness.ts";

const readers = 1000;
const perSecond = 200;

export const serverLoad: Measurement = {
  name: "server",
  title: "A server that also works on what is started, loaded from another process",
  rounds: { full: 3, quick: 1 },
  async cases({ quick }) {
    const seconds = quick ? 5 : 20;
    return [
      { id: "requests", program: "served", args: { load: "requests", args: { perSecond, seconds } } },
      { id: "followers", program: "served", args: { load: "followers", args: { readers, runs: quick ? 50 : 200 } } },
    ];
  },
  lines: (found) => [
    plain(found, { what: `${perSecond} requests/s, median`, unit: "ms" }, ["requests", "p50"]),
    plain(found, { what: `${perSecond} requests/s, 99 of 100`, unit: "ms", target: "< 50" }, ["requests", "p99"]),
    plain(found, { what: `${readers} who follow the feed, all connected`, unit: "ms" }, ["followers", "opened"]),
    plain(found, { what: `${readers} who follow the feed, event → reader, median`, unit: "ms" }, ["followers", "p50"]),
    plain(found, { what: "the same, 99 of 100", unit: "ms" }, ["followers", "p99"]),
    plain(found, { what: "the same, events delivered", unit: "/s" }, ["followers", "perSecond"]),
  ],
};
