/** Message graphs: whether a superstep costs the same late in a long run as early, and what supersteps add to the work. */
import type { Line } from "../found.ts";
import { above, against, plain } from "../found.ts";
import type { Bench, Case, Measurement } from "../harness.ts";

const counts = ({ quick }: Bench): readonly [few: number, many: number] => (quick ? [200, 2000] : [1000, 10_000]);
const hosts = [
  { host: "in memory", program: "pingPongMemory" },
  { host: "durable", program: "pingPongDurable" },
] as const;

export const graph: Measurement = {
  name: "graph",
  title: "Message graphs: a ping-pong whose state grows by 1 KB in each superstep, and twenty supersteps of 1 ms",
  rounds: { full: 3, quick: 1 },
  async cases(bench) {
    return [
      ...hosts.flatMap(({ host, program }): Case[] =>
        counts(bench).map((supersteps) => ({ id: `${host} ${supersteps}`, program, args: { supersteps } })),
      ),
      { id: "twenty", program: "twentySupersteps", args: { rounds: 50 } },
    ];
  },
  lines(found, bench) {
    const [few, many] = counts(bench);
    const lines = hosts.flatMap(({ host }): Line[] => {
      const what = `${host}, ${many.toLocaleString("en-US")} supersteps`;
      const [id, short] = [`${host} ${many}`, `${host} ${few}`];
      const against1000 = `against those of ${few.toLocaleString("en-US")}`;
      return [
        plain(found, { what: `${what}, CPU per superstep`, unit: "ms" }, [id, "cpuMs"]),
        against(
          found,
          { what: `${what}: CPU, the last tenth against the first`, unit: "ms", target: "≤ 1.3" },
          [id, "lateCpuMs"],
          [id, "earlyCpuMs"],
        ),
        plain(found, { what: `${what}, per superstep`, unit: "ms" }, [id, "ms"]),
        against(
          found,
          { what: `${what}: the last tenth against the first`, unit: "ms", target: "≤ 1.3" },
          [id, "lateMs"],
          [id, "earlyMs"],
        ),
        against(
          found,
          { what: `${what}: bytes stored per superstep, ${against1000}`, unit: "bytes", target: "≤ 1.3" },
          [id, "bytes"],
          [short, "bytes"],
        ),
      ];
    });
    const twenty = { what: "20 supersteps of 1 ms, in memory, altogether", unit: "ms", target: "< 60" };
    lines.push(against(found, twenty, ["twenty", "ms"], ["twenty", "bareMs"]));
    lines.push(
      above(found, { what: "what 20 supersteps add to the work", unit: "ms" }, ["twenty", "ms"], ["twenty", "bareMs"]),
    );
    return lines;
  },
};
