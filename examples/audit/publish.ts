/**
 * Publishes the report at the paid service, which cannot be taken back: it is asked for once. What became of a request
 * whose answer was lost, the books of the service say.
 */
import { z } from "zod";
import type { Decision } from "../../src/index.ts";

export type Publication = { number: number; title: string };

const publication = z.object({ number: z.int().min(1), title: z.string() }) satisfies z.ZodType<Publication>;

type Options = {
  /** The step's idempotency key. */
  key: string;
  abort: AbortSignal;
};

/** Asks for it. Whatever goes wrong leaves open whether it happened. */
export async function publish(service: string, title: string, { key, abort }: Options): Promise<Publication> {
  const response = await fetch(new URL("/publish", service), {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": key },
    body: JSON.stringify({ title }),
    signal: abort,
  });
  if (response.status !== 200) throw new Error(`the report was not published: ${response.status}`);
  return publication.parse(await response.json());
}

/** What the books say of an earlier request: it is published, or it is not; undefined where they cannot be read. */
export async function lookUp(service: string, { key, abort }: Options): Promise<Decision | undefined> {
  const response = await fetch(new URL("/publish", service), { headers: { "idempotency-key": key }, signal: abort });
  if (response.status === 200) return { record: publication.parse(await response.json()) };
  return response.status === 404 ? "run" : undefined;
}
