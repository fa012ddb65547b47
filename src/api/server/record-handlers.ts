/** What routes about runs on record do. */
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { Log } from "../../engine/body.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { Handlers } from "./handlers.ts";
import { receive, Uploads } from "./upload.ts";

type RecordRoute = Extract<
  keyof Handlers,
  | `${string}/verify`
  | `${string}/why`
  | `${string}/prov`
  | `${string}golden${string}`
  | `${string}/export`
  | `${string}/import`
  | `${string}/prune`
>;

export function recordHandlersOf(stemma: Stemma, log: Log): Pick<Handlers, RecordRoute> {
  const uploads = new Uploads();
  return {
    "GET /v1/verify": ({ signal }) => stemma.verify(undefined, { signal }),
    "GET /v1/runs/{run}/verify": ({ params, query: { seq, hash, family = false }, signal }) => {
      if ((seq === undefined) !== (hash === undefined))
        throw new StemmaError("usage.invalid", "Expected seq and hash of an event, or neither; got one.");
      const expect = seq === undefined || hash === undefined ? {} : { expect: { seq, hash } };
      return stemma.verify(runOf(params), { family, signal, ...expect });
    },
    "GET /v1/runs/{run}/why": ({ params, query: { key, ...options } }) => stemma.why(runOf(params), key, options),
    "GET /v1/runs/{run}/prov": ({ params, query }) => stemma.prov(runOf(params), query),
    "GET /v1/goldens": async ({ query }) => ({ marks: await stemma.goldens(query) }),
    "POST /v1/runs/{run}/golden": ({ params, body, by, once }) =>
      stemma.golden(runOf(params), { ...body, ...by(body.by), ...once }),
    "POST /v1/ungolden": async ({ body: { by: given, reason, ...query }, by }) => {
      const said = { ...(reason === undefined ? {} : { reason }), ...by(given) };
      return { marks: await stemma.ungolden(query, said) };
    },
    "GET /v1/runs/{run}/export": async ({ params }) => stemma.export((await stemma.row(runOf(params))).id),
    // What comes in keeps the events that it has, and what goes leaves none: who did it is said to the log.
    "POST /v1/import": async ({ query, request, by }) => {
      await using file = await receive(request, uploads);
      const imported = await stemma.import(file.open, query);
      const { family, runs } = imported;
      log.info("A family was imported", { ...by(undefined), family, runs: runs.length });
      return imported;
    },
    "POST /v1/prune": async ({ body, by }) => {
      const pruned = await stemma.prune(body);
      if (body.dryRun !== true) log.info("Runs were pruned", { ...by(undefined), ...pruned });
      return pruned;
    },
  };
}

function runOf(params: Readonly<Record<string, string>>): RunId {
  return params["run"] ?? "";
}
