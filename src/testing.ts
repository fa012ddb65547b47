/** `stemma/testing`: what users test their own stores and workflows with. */
export { storeConformance } from "./testing/store-conformance.ts";
export type { StoreConformance, TestFunctions } from "./testing/store-conformance.ts";
export type { CreateStore, StoreUnderTest } from "./testing/conformance/fixture.ts";
