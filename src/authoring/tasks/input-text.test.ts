import fc from "fast-check";
import { expect, test } from "vitest";
import type { Json } from "../../core/json.ts";
import { encode } from "../../core/json.ts";
import { InputTexts } from "./input-text.ts";
import type { TaskResult } from "./step.ts";

// Made JSON, for of what fast-check makes -0 is none, and is refused before it comes here.
const json = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as Json);
const results = fc.oneof(
  fc.record({ status: fc.constant("success"), data: json }),
  fc.constant({ status: "skipped", message: "not met", error: undefined }),
) as fc.Arbitrary<TaskResult>;

test("the text of an input is the canonical one, whether texts of outputs are at hand or not", () => {
  fc.assert(
    fc.property(
      fc.option(json, { nil: undefined }),
      fc.uniqueArray(fc.record({ name: fc.string(), result: results, isNoted: fc.boolean() }), {
        selector: ({ name }) => name,
        maxLength: 5,
      }),
      (context, tasks) => {
        const texts = new InputTexts();
        const known = tasks.map(({ name, result, isNoted }, task) => {
          if (isNoted) texts.note(task, encode({ result }) ?? "");
          return { name, task, result };
        });
        const input = { context, results: Object.fromEntries(known.map(({ name, result }) => [name, result])) };
        expect(texts.of(context, known)).toBe(encode(input));
        expect(texts.bare(context)).toBe(encode({ context }));
      },
    ),
  );
});

test("an output that changes the context besides, or is no result, is not taken for one", () => {
  const texts = new InputTexts();
  texts.note(0, '{"changes":{"a":1},"result":{"status":"success"}}');
  const result: TaskResult = { status: "success", data: 1 };
  expect(texts.of(undefined, [{ name: "a", task: 0, result }])).toBe(encode({ results: { a: result } }));
});
