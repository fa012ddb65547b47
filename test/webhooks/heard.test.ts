import { expect, test } from "vitest";
import { keepCursor, readCursor } from "../../src/api/webhooks/cursor.ts";
import { fresh } from "../stage.ts";

test("how far the feed was heard is one record, however often it is kept", async () => {
  const store = fresh();
  for (const position of [5, 9, 12]) {
    await keepCursor(store, position);
    expect(await readCursor(store)).toBe(position);
  }
  expect((await store.list({})).runs.length).toBe(1);
  await store.close();
});
