/** What is signed verifies with the library that the scheme is published with, and nothing else does. */
import fc from "fast-check";
import { Webhook as Published } from "standardwebhooks";
import { expect, test } from "vitest";
import { keyOf, newSecret, sign, verifyWebhook } from "../../src/api/webhooks/signature.ts";
import { workflow } from "../../src/index.ts";
import { serve } from "../server/place.ts";
import { errorOf } from "../stage.ts";
import type { Request } from "./receiver.ts";
import { receiver } from "./receiver.ts";

const done = workflow({ name: "done" }, () => ({ text: "ünïcode – \u2028 \u{1f600}" }));

async function delivered(secret: string): Promise<Request> {
  await using at = await receiver();
  await using served = await serve([done], { webhooks: { allow: ["127.0.0.1"] } });
  await served.client.run(done, undefined, { webhook: { url: at.url, secret } });
  const [request] = await at.got(1);
  if (request === undefined) throw new Error("nothing came");
  return request;
}

const opens = (secret: string, { body, headers }: Pick<Request, "body" | "headers">): boolean => {
  try {
    new Published(secret).verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
};

test("a request verifies with its secret; not with another, another body, another id, another time, or as an old one", async () => {
  const secret = newSecret();
  const request = await delivered(secret);
  const { body, headers } = request;
  expect(JSON.parse(body)).toMatchObject({ type: "run.succeeded", data: { workflow: "done" } });
  const id = String(headers["webhook-id"]);
  const timestamp = Number(headers["webhook-timestamp"]);
  const old = timestamp - 301;
  const early = timestamp + 400;
  const signedAt = (at: number): Record<string, string> => ({
    "webhook-id": id,
    "webhook-timestamp": String(at),
    "webhook-signature": sign(keyOf(secret), { id, timestamp: at, body }),
  });
  const wrong: Record<string, [string, { body: string; headers: Request["headers"] }]> = {
    "another secret": [newSecret(), request],
    "another body": [secret, { headers, body: body.replace("done", "gone") }],
    "a body in another form": [secret, { headers, body: `${body} ` }],
    "another id": [secret, { body, headers: { ...headers, "webhook-id": "msg_other" } }],
    "another time": [secret, { body, headers: { ...headers, "webhook-timestamp": String(timestamp + 1) } }],
    "an old one": [secret, { body, headers: signedAt(old) }],
    "one of the future": [secret, { body, headers: signedAt(early) }],
    "no signature": [secret, { body, headers: { ...headers, "webhook-signature": undefined } }],
    "a signature of another version": [
      secret,
      {
        body,
        headers: { ...headers, "webhook-signature": String(headers["webhook-signature"]).replace("v1,", "v2,") },
      },
    ],
    "half a signature": [
      secret,
      { body, headers: { ...headers, "webhook-signature": String(headers["webhook-signature"]).slice(0, -4) } },
    ],
  };
  expect([opens(secret, request), verifyWebhook(secret, headers, body)]).toEqual([true, true]);
  expect(verifyWebhook(secret, new Headers(headers as Record<string, string>), body)).toBe(true);
  for (const [name, [with_, { body: given, headers: said }]] of Object.entries(wrong)) {
    const found = [opens(with_, { body: given, headers: said }), verifyWebhook(with_, said, given)];
    expect([name, ...found]).toEqual([name, false, false]);
  }
  // The time is the only thing wrong with it.
  expect(verifyWebhook(secret, signedAt(old), body, { toleranceS: 1000 })).toBe(true);
  // Several signatures stand for several secrets, while one takes the place of another.
  const both = { ...headers, "webhook-signature": `v1,AAAA ${String(headers["webhook-signature"])}` };
  expect([opens(secret, { body, headers: both }), verifyWebhook(secret, both, body)]).toEqual([true, true]);
});

test("any message is signed as the published library signs it", () => {
  const secrets = fc.uint8Array({ minLength: 24, maxLength: 64 }).map((bytes) => Buffer.from(bytes));
  const texts = fc.string({ unit: "grapheme" });
  fc.assert(
    fc.property(
      secrets,
      texts,
      fc.stringMatching(/^[\w-]{1,40}$/),
      fc.nat(4_000_000_000),
      (key, body, id, timestamp) => {
        const secret = `whsec_${key.toString("base64")}`;
        const theirs = new Published(secret).sign(id, new Date(timestamp * 1000), body);
        expect(sign(keyOf(secret), { id, timestamp, body })).toBe(theirs);
      },
    ),
    { numRuns: 200 },
  );
});

test("a secret is long enough, and no error shows one", async () => {
  const secrets = ["short", "whsec_c2hvcnQ=", "whsec_not base64!", "x".repeat(513), `whsec_${"A".repeat(100)}`, ""];
  for (const secret of secrets) {
    const error = await errorOf(Promise.resolve().then(() => keyOf(secret)));
    expect(error.code).toBe("webhook.invalid");
    if (secret !== "") expect(error.message).not.toContain(secret);
  }
  expect(keyOf("a text of twenty-four ch")).toEqual(Buffer.from("a text of twenty-four ch"));
  expect(new Set([newSecret(), newSecret(), newSecret()]).size).toBe(3);
});
