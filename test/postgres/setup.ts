/** Before each test file of the project `postgres`: where its stores are. Behind it, they are removed. */
import { afterAll } from "vitest";
import { dropSchema, postgresUrl, schemasMade } from "./database.ts";

process.env["STEMMA_TEST_URL"] = await postgresUrl();

afterAll(async () => dropSchema(await postgresUrl(), schemasMade));
