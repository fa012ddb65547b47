/** Patience with a store that is away for a while: what is asked is asked again until it is back. */
import { isStemmaError } from "../../src/index.ts";

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until it is answered. What is asked must be right to be asked again. */
export async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isStemmaError(error) || !error.retryable) throw error;
      await pause(20);
    }
  }
}
