/** How long it takes to prove that histories are as they were written. */
import { plain } from "../found.ts";
import type { Line } from "../found.ts";
import type { Bench, Case, Measurement } from "../harness.ts";

const eventsOf = ({ quick }: Bench): number => (quick ? 20_000 : 100_000);

export const verify: Measurement = {
  name: "verify",
  title: "Verify",
  rounds: { full: 3, quick: 1 },
  async cases(bench) {
    const events = eventsOf(bench);
    return [
      { id: "one", program: "verify", args: { runs: 1, events } },
      { id: "many", program: "verify", args: { runs: 1000, events } },
    ] satisfies Case[];
  },
  lines(found, bench) {
    const events = eventsOf(bench).toLocaleString("en-US");
    const lines: Line[] = [];
    for (const [id, words] of [
      ["one", "in one run"],
      ["many", "in 1,000 runs"],
    ] as const) {
      const what = `${events} events ${words}`;
      lines.push(plain(found, { what, unit: "ms", target: "< 2,000" }, [id, "ms"]));
      lines.push(
        plain(found, { what: `${what}: event loop blocked, longest`, unit: "ms", target: "< 20" }, [id, "max"]),
      );
      lines.push(plain(found, { what: `${what}: memory more than before`, unit: "MB" }, [id, "mb"]));
    }
    return lines;
  },
};
