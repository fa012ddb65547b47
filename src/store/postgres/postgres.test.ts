import { afterAll, beforeAll, describe, it } from "vitest";

import { dropSchema, newSchema, postgresUrl } from "../../../test/postgres/database.ts";
import { postgres } from "../../postgres.ts";
import { storeConformance } from "../../testing/store-conformance.ts";
import type { Store } from "../store.ts";

let url = "";
const schemas: string[] = [];

beforeAll(async () => {
  url = await postgresUrl();
});

afterAll(async () => {
  await dropSchema(url, schemas);
});

describe("postgres", () => {
  storeConformance({
    describe,
    it,
    async create({ now }) {
      const schema = newSchema();
      schemas.push(schema);
      const opened: Store[] = [];
      const open = (): Store => {
        const store = postgres({ url, schema, now });
        opened.push(store);
        return store;
      };
      const store = open();
      return {
        store,
        async reopen() {
          await store.close();
          return open();
        },
        second: async () => open(),
        async cleanup() {
          await Promise.all(opened.map((one) => one.close()));
        },
      };
    },
  });
});
