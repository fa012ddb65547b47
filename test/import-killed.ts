/** A process that is killed in the midst of taking a family in: behind the creation of its first run. */
import { createReadStream } from "node:fs";
import { Stemma } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { around } from "../src/testing/around.ts";

const [file = "", path = ""] = process.argv.slice(2);
const store = around(
  sqlite(path),
  async ({ method, make }) => {
    if (method === "commit") process.kill(process.pid, "SIGKILL");
    return make();
  },
  {},
);
await new Stemma({ store }).import(() => createReadStream(file));
