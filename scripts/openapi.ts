/** Writes docs/openapi.json anew from the contract. A test fails while it is not what the contract says. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openapi } from "../src/api/contract/openapi.ts";

const root = join(import.meta.dirname, "..");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
writeFileSync(join(root, "docs/openapi.json"), `${JSON.stringify(openapi(version), null, 2)}\n`);
