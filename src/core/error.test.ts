import { createContext, runInContext } from "node:vm";

import { describe, expect, test } from "vitest";

import type { ErrorCode } from "./error.ts";
import { errorCodes, isStemmaError, StemmaError } from "./error.ts";

const codes = Object.entries(errorCodes);

describe("every code", () => {
  test.each(codes)("%s has a status of HTTP for errors, and an exit code that the CLI documents", (code, row) => {
    expect(code).toMatch(/^[a-z]+\.[a-z]+(?:_[a-z]+)*$/);
    expect(Object.keys(row).toSorted()).toEqual(["exit", "retryable", "status"]);
    expect(row.status).toBeGreaterThanOrEqual(400);
    expect(row.status).toBeLessThan(600);
    // 1: a run failed; 2: usage; 3: not found; 4: refused.
    expect([1, 2, 3, 4]).toContain(row.exit);
  });

  test.each(codes)("%s means the same to HTTP, to the CLI and to callers", (code, { status, exit, retryable }) => {
    // Not found is 404 and 3 everywhere; bad input is 2, a path that is none too; nobody is told to try again what can
    // never go well.
    expect(exit === 3).toBe(status === 404 && code !== "request.no_route");
    expect(exit === 3).toBe(code.endsWith(".not_found"));
    if (status === 400 || status === 413 || status === 422) expect(exit).toBe(2);
    if (retryable) expect([408, 409, 429, 503, 507]).toContain(status);
    if (retryable) expect(exit).toBe(4);
  });
});

test("an error says whether trying again may help, by its code", () => {
  const retryable = codes.filter(([code]) => new StemmaError(code as ErrorCode, "x").retryable).map(([code]) => code);
  expect(retryable.toSorted()).toEqual(
    codes
      .filter(([, row]) => row.retryable)
      .map(([code]) => code)
      .toSorted(),
  );
  expect(retryable).toContain("store.busy");
  expect(retryable).not.toContain("store.corrupt");
});

test("an error has what it was made with, and nothing that it was not made with", () => {
  const cause = new Error("below");
  const error = new StemmaError("run.not_found", "There is no such run.", { data: { run: "run_x" }, cause });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name: "StemmaError", code: "run.not_found", message: "There is no such run." });
  expect(error.data).toEqual({ run: "run_x" });
  expect(error.cause).toBe(cause);
  expect(String(error)).toBe("StemmaError: There is no such run.");
  const bare = new StemmaError("run.not_found", "x");
  expect(bare.data).toEqual({});
  expect("cause" in bare).toBe(false);
  expect("cause" in new StemmaError("run.not_found", "x", { cause: undefined })).toBe(true);
});

test("what makes an error ours is not seen when it is shown or copied", () => {
  const error = new StemmaError("run.not_found", "x");
  expect(Object.getOwnPropertySymbols(error).filter((symbol) => Object.keys(error).includes(String(symbol)))).toEqual(
    [],
  );
  expect(Object.getOwnPropertySymbols(structuredClone(error))).toEqual([]);
});

describe("isStemmaError", () => {
  const own = new StemmaError("run.not_found", "x");

  test("knows our errors, and their codes", () => {
    expect(isStemmaError(own)).toBe(true);
    expect(isStemmaError(own, "run.not_found")).toBe(true);
    expect(isStemmaError(own, "run.conflict")).toBe(false);
  });

  test("knows an error of another copy of this package, even of another realm", () => {
    // Another copy has another class and the same symbol.
    const theirs: unknown = runInContext(
      `class StemmaError extends Error {
        constructor(code, message) {
          super(message);
          this.code = code;
          Object.defineProperty(this, Symbol.for("stemma.error"), { value: true });
        }
      }
      new StemmaError("store.busy", "busy")`,
      createContext({}),
    );
    expect(theirs).not.toBeInstanceOf(StemmaError);
    expect(theirs).not.toBeInstanceOf(Error);
    expect(isStemmaError(theirs)).toBe(true);
    expect(isStemmaError(theirs, "store.busy")).toBe(true);
    expect(isStemmaError(theirs, "store.full")).toBe(false);
  });

  test.each([
    ["an Error", new Error("x")],
    ["an error that only has the code", Object.assign(new Error("x"), { code: "run.not_found", data: {} })],
    ["null", null],
    ["undefined", undefined],
    ["a string", "run.not_found"],
    ["a function", () => own],
    ["a symbol", Symbol.for("stemma.error")],
    ["a copy that is a plain object", JSON.parse(JSON.stringify(own))],
  ])("says no to %s", (_name, value) => {
    expect(isStemmaError(value)).toBe(false);
    expect(isStemmaError(value, "run.not_found")).toBe(false);
  });
});
