/** Lines about a run on the console: for people, or as JSON for what collects logs. */
import type { EventBus, RunnerEvent } from "./events.ts";
import type { Plugin } from "./plugin.ts";
import type { TaskStatus } from "./step.ts";

export type LogFormat = "text" | "json";

/** Writes a line for each event. */
function logTo<C>(events: EventBus<C>, format: LogFormat, write: (line: string) => void): void {
  // The fields of a record have an order, too: who reads logs by eye or by line finds them where they were.
  const say = (text: string, event: RunnerEvent, record: Record<string, unknown>): void => {
    write(format === "json" ? JSON.stringify({ event, timestamp: new Date().toISOString(), ...record }) : text);
  };
  events.on("workflowStart", ({ steps }) => {
    const stepCount = steps.length;
    say(`[WorkflowStart] Starting workflow with ${stepCount} steps.`, "workflowStart", { stepCount });
  });
  events.on("taskStart", ({ step: { name } }) => {
    say(`[TaskStart] Task '${name}' started.`, "taskStart", { task: name });
  });
  events.on("taskEnd", ({ step: { name }, result }) => {
    const { status } = result;
    // What never began took no time: it has no metrics.
    const duration = result.metrics?.duration;
    const took = duration === undefined ? "" : ` in ${duration}ms`;
    say(`[TaskEnd] Task '${name}' ended with status '${status}'${took}.`, "taskEnd", { task: name, status, duration });
  });
  events.on("taskSkipped", ({ step: { name } }) => {
    say(`[TaskSkipped] Task '${name}' skipped.`, "taskSkipped", { task: name, status: "skipped" });
  });
  events.on("workflowEnd", ({ results }) => {
    const statusSummary = Object.fromEntries([...results].map(([name, { status }]) => [name, status]));
    const counts: Partial<Record<TaskStatus, number>> = {};
    for (const { status } of results.values()) counts[status] = (counts[status] ?? 0) + 1;
    const { success = 0, failure = 0 } = counts;
    say(`[WorkflowEnd] Workflow completed. Success: ${success}, Failed: ${failure}.`, "workflowEnd", {
      totalTasks: results.size,
      statusSummary,
    });
  });
}

/** The console of whoever runs the tasks, looked up at each line, so that one that is replaced later is used. */
function toConsole(line: string): void {
  // oxlint-disable-next-line no-console
  console.log(line);
}

/** The lines as a plugin. */
export function loggerPlugin<C>(format: LogFormat): Plugin<C> {
  return { name: "logger", version: "1.0.0", install: ({ events }) => logTo(events, format, toConsole) };
}
