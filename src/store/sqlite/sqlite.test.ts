import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";

import { sqlite } from "../../sqlite.ts";
import { storeConformance } from "../../testing/store-conformance.ts";
import type { Store } from "../store.ts";

describe("sqlite, one file", () => {
  storeConformance({
    describe,
    it,
    async create({ now }) {
      const folder = await mkdtemp(join(tmpdir(), "stemma-sqlite-"));
      const opened: Store[] = [];
      const open = (): Store => {
        const store = sqlite({ path: join(folder, "stemma.db"), now });
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
          for (const one of opened) await one.close();
          await rm(folder, { recursive: true });
        },
      };
    },
  });
});

describe("sqlite, in memory", () => {
  storeConformance({
    describe,
    it,
    async create({ now }) {
      const store = sqlite({ path: ":memory:", now });
      return { store, cleanup: () => store.close() };
    },
  });
});
