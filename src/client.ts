/** @module A Stemma on a server: the same methods, over HTTP. */

export { StemmaClient, client } from "./api/client/client.ts";
export type { ClientOptions } from "./api/client/connection.ts";
export type { RemoteRun } from "./api/client/remote-run.ts";
export type { KnownWorkflow } from "./api/contract/routes.ts";
export { StemmaError, isStemmaError } from "./core/error.ts";
