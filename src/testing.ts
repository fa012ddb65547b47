/** `stemma/testing`: what users test their own stores and workflows with. */
export { fakeClock } from "./testing/fake-clock.ts";
export type { FakeClock, FakeClockOptions } from "./testing/fake-clock.ts";
export { faultPoints, faults } from "./testing/faults.ts";
export type { FaultIf, FaultPoint, Faults, FaultWhen, StoreErrorCode } from "./testing/faults.ts";
export { storeConformance } from "./testing/store-conformance.ts";
export type { StoreConformance, TestFunctions } from "./testing/store-conformance.ts";
export type { CreateStore, StoreUnderTest } from "./testing/conformance/fixture.ts";
export { replay } from "./testing/replay.ts";
export type { Histories, Replayed } from "./testing/replay.ts";
export type { ReplayFinding, ReplayKind, ReplayOptions } from "./engine/replay.ts";
