/** Scope of the steps that make up for others. No body asks for them, so recall passes them by. */
export { compensationScope } from "../core/identity.ts";
