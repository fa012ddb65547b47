/** @module Nodes: processes that offer functions to a Stemma server, and carry out what it gives them. */

export { Agent } from "./api/agent/agent.ts";
export type { AgentOptions, FunctionOptions, ServeOptions, Serving } from "./api/agent/agent.ts";
export type { AgentCallOptions, AgentContext, AgentWaitOptions } from "./api/agent/agent-context.ts";
export { fatal } from "./engine/verdict.ts";
export { StepError } from "./engine/failure.ts";
export { StemmaError, isStemmaError } from "./core/error.ts";
