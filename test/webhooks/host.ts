/** A server as a process of its own, to be killed: `node host.ts <place> <milliseconds between tries>`. It prints its address. */
import { Stemma, workflow } from "../../src/index.ts";
import { server } from "../../src/server.ts";
import { storeAt } from "../place.ts";

const [place = "", delay = "50"] = process.argv.slice(2);

const double = workflow({ name: "double" }, (ctx, n: number) => ctx.step("times", { input: n }, () => n * 2));

const store = storeAt(place);
const stemma = await new Stemma({ store, workflows: [double], lease: 1000 }).start();
const webhooks = { allow: ["127.0.0.1"], retries: Array.from({ length: 20 }, () => Number(delay)) };
const listening = await server(stemma, { port: 0, webhooks }, { webhooks: { lease: 1000 } }).listen();
console.log(listening.url);
