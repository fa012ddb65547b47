/** Where an activation stands: what its halves share. Only the activation and its departure change it. */
import type { Seq, Timestamp } from "../core/event.ts";
import type { End } from "./ending.ts";
import type { Phase } from "./parts.ts";

export type Course = {
  phase: Phase;
  /** How the run is to end, once that is known. */
  end: End | undefined;
  /** The run is being handed back: nothing new begins. */
  draining: boolean;
  /** When the run's own time is up. */
  deadline: Timestamp | undefined;
  /** Whether all that is open is waits, so that the run can be kept in memory as it is while nobody holds it. */
  warm: boolean;
  /** The last outcome that the body was given. */
  delivered: { seq: Seq; at: Timestamp };
};

/** Whether the run is ended from outside, whatever its body is at. */
export function isStopped({ end }: Course): boolean {
  return end !== undefined && "stopped" in end;
}
