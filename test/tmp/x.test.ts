import { it } from "vitest";
import { sqlite } from "../../src/sqlite.ts";
import { live, turnClock } from "../recall/life.ts";
it("x", async () => {
  const clock = turnClock();
  const store = sqlite({ path: ":memory:", now: () => clock.now() });
  const program = {"do":"io","turns":1,"part":{"do":"sequence","parts":[{"do":"caught","part":{"do":"sequence","parts":[{"do":"step","name":"a","turns":0,"fails":false},{"do":"step","name":"a","turns":0,"fails":true}]}},{"do":"step","name":"a","turns":0,"fails":true}]}} as never;
  for (const pageEvents of [1,2,1000]) {
  const life = await live({ store, clock, name: `p${pageEvents}`, program, crashes: [{"commit":2,"applied":false},{"commit":2,"applied":false}], pageEvents });
  console.log(pageEvents, life.status, life.faults, life.events.map((e) => `${e.type} ${JSON.stringify(e.data)} ${JSON.stringify(e.causes)}`).join("\n"));
  }
});
