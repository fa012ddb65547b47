/**
 * The last line of every test run: `N passed, N failed`, plain, for people and scripts alike. A test file that could
 * not be loaded and an error outside of any test count as one failure each, so that "0 failed" means what it says.
 */
import { writeSync } from "node:fs";
import type { Reporter, SerializedError, TestModule } from "vitest/node";

export default class Totals implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    let passed = 0;
    let failed = unhandled.length;
    for (const module of modules) {
      failed += module.errors().length;
      for (const suite of module.children.allSuites()) failed += suite.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") passed += 1;
        else if (state === "failed") failed += 1;
      }
    }
    // Other reporters still write after their own end, so this waits for the end of the process.
    process.once("exit", () => {
      writeSync(1, `${passed} passed, ${failed} failed\n`);
    });
  }
}
