/**
 * An agent of AgentField as it is on the wire, without its SDK and without anything of ours: a plain HTTP server that
 * sends what the SDK was seen to send, header by header, and takes of the answers what the SDK takes.
 */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What a function of the agent is called with. */
export type Work = {
  input: unknown;
  /** Its own execution, as the plane says, and the headers it came with. */
  execution: string;
  headers: Readonly<Record<string, string>>;
  /** Calls an agent: `node.name` by the plane, a name alone in this process, told by events. */
  call(target: string, input: unknown): Promise<unknown>;
  /** As an agent calls that waits at the line. */
  callSync(target: string, input: unknown): Promise<unknown>;
  /** Asks a person and waits for the callback. */
  approve(id: string, more?: object): Promise<{ decision: string; feedback?: string; response?: unknown }>;
  /** Aborted by the plane's cancel. */
  signal: AbortSignal;
};

export type Functions = Readonly<Record<string, (work: Work) => unknown>>;

export type AgentOptions = {
  plane: string;
  id: string;
  reasoners?: Functions;
  skills?: Functions;
  version?: string;
  port?: number;
  /** Sent with everything, as `X-API-Key` or otherwise. */
  headers?: Record<string, string>;
  /** More for the body of its registration. */
  registration?: Record<string, unknown>;
  /** Whether reasoners answer 202 and report; else they answer with their result. Default true. */
  detached?: boolean;
};

export type Seen = { path: string; headers: Record<string, string>; body: unknown };

export type TestAgent = AsyncDisposable & {
  id: string;
  url: string;
  /** Every call of a function, in order: `name` and what it was given. */
  calls: { name: string; input: unknown; headers: Record<string, string> }[];
  /** Everything that the plane sent. */
  seen: Seen[];
  /** How often a function of this name was entered. */
  entered(name: string): number;
  /** Sends a request as this agent does. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Said>;
  close(): Promise<void>;
};

export type Said = { status: number; body: Record<string, unknown>; headers: Headers };

/** A request to the plane, and its answer. */
export async function say(
  plane: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Said> {
  const sent = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
  const json: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
  const response = await fetch(`${plane}${path}`, { method, headers: { ...json, ...headers }, ...sent });
  const text = await response.text();
  return { status: response.status, body: read(text), headers: response.headers };
}

function read(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { text };
  }
}

const pollMs = 10;
const ends = new Set(["succeeded", "failed", "cancelled", "timeout"]);

/** Registers, beats twice, asks for the memory socket, and listens: what the SDK does when it begins to serve. */
export async function agent(options: AgentOptions): Promise<TestAgent> {
  const one = new Agent(options);
  await one.listen();
  await one.register();
  return one;
}

class Agent implements TestAgent {
  readonly calls: TestAgent["calls"] = [];
  readonly seen: Seen[] = [];
  readonly #options: AgentOptions;
  readonly #server: Server;
  readonly #aborts = new Map<string, AbortController>();
  readonly #approvals = new Map<string, (said: Record<string, unknown>) => void>();
  #closed = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  get id(): string {
    return this.#options.id;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  entered(name: string): number {
    return this.calls.filter((call) => call.name === name).length;
  }

  ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Said> {
    return say(this.#options.plane, method, path, body, { ...this.#options.headers, ...headers });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#options.port ?? 0, "127.0.0.1", resolve));
  }

  async register(): Promise<void> {
    const { id, version = "1.0.0", reasoners = {}, skills = {}, registration = {} } = this.#options;
    const functions = (of: Functions): object[] =>
      Object.keys(of).map((name) => ({
        id: name,
        input_schema: {},
        output_schema: {},
        memory_config: { auto_inject: [], memory_retention: "", cache_results: false },
        tags: [],
        proposed_tags: [],
      }));
    const registered = await this.ask("POST", "/api/v1/nodes/register", {
      id,
      version,
      base_url: this.url,
      public_url: this.url,
      deployment_type: "long_running",
      reasoners: functions(reasoners),
      skills: functions(skills),
      proposed_tags: [],
      tags: [],
      metadata: {
        deployment: { environment: "development", platform: "typescript", region: "local" },
        custom: { sdk: { language: "typescript", version: "0.1.82" }, sessions: [] },
      },
      ...registration,
    });
    if (registered.status >= 300) throw new Error(`not registered: ${JSON.stringify(registered.body)}`);
    for (const status of ["starting", "ready"]) {
      await this.ask("POST", `/api/v1/nodes/${id}/heartbeat`, { status, version, timestamp: new Date().toISOString() });
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text: string[] = [];
    for await (const chunk of request) text.push(String(chunk));
    const path = request.url ?? "";
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const body = text.length === 0 ? undefined : read(text.join(""));
    this.seen.push({ path, headers, body });
    const answer = (status: number, what: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(what) ?? "");
    };
    const [, kind = "", name = "", id = "", verb] = path.split("/");
    if (path === "/health") return answer(200, { status: "running", node_id: this.id, version: "1.0.0" });
    if (path === "/webhooks/approval") return answer(200, this.#approved(body ?? {}));
    if (kind === "_internal" && verb === "cancel") return answer(200, this.#cancelled(id));
    const functions = kind === "reasoners" ? this.#options.reasoners : this.#options.skills;
    const work = kind === "reasoners" || kind === "skills" ? functions?.[name] : undefined;
    if (work === undefined) return answer(404, { error: `Reasoner not found: ${name}` });
    const execution = headers["x-execution-id"] ?? randomUUID();
    const { detached = true } = this.#options;
    if (
      kind === "reasoners" &&
      detached &&
      headers["x-execution-id"] !== undefined &&
      headers["x-run-id"] !== undefined
    ) {
      answer(202, { status: "processing", execution_id: execution });
      return this.#report(execution, name, work, body, headers);
    }
    try {
      answer(200, await this.#run(execution, name, work, body, headers));
    } catch (error) {
      answer((error as { status?: number }).status ?? 500, { error: (error as Error).message });
    }
  }

  /** A function in its own right, whose end is told by the status callback, again and again until that is taken. */
  async #report(
    execution: string,
    name: string,
    work: Functions[string],
    input: unknown,
    headers: Record<string, string>,
  ): Promise<void> {
    const began = Date.now();
    const end = (more: object): Record<string, unknown> => ({
      execution_id: execution,
      duration_ms: Date.now() - began,
      completed_at: new Date().toISOString(),
      reasoner: name,
      ...more,
    });
    let said: Record<string, unknown>;
    try {
      const result = await this.#run(execution, name, work, input, headers);
      said = end({ status: "succeeded", ...(result === undefined ? {} : { result: wrapped(result) }) });
    } catch (error) {
      said = this.#aborts.get(execution)?.signal.aborted
        ? end({ status: "cancelled", error: "cancelled_by_control_plane", status_reason: "cancelled" })
        : end({ status: "failed", error: (error as Error).message });
    }
    for (let times = 0; times < 200 && !this.#closed; times += 1) {
      const answered = await this.ask("POST", `/api/v1/executions/${execution}/status`, said).catch(() => undefined);
      if (answered !== undefined && answered.status < 300) return;
      if (answered !== undefined && answered.status < 500 && answered.status !== 429) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #run(
    execution: string,
    name: string,
    work: Functions[string],
    input: unknown,
    headers: Record<string, string>,
  ): Promise<unknown> {
    this.calls.push({ name, input, headers });
    const abort = new AbortController();
    this.#aborts.set(execution, abort);
    return work(this.#work(execution, input, headers, abort.signal));
  }

  #work(execution: string, input: unknown, headers: Record<string, string>, signal: AbortSignal): Work {
    return {
      input,
      execution,
      headers,
      signal,
      call: (target, given) =>
        target.includes(".") && !target.startsWith(`${this.id}.`)
          ? this.#callRemote(target, given, execution, headers)
          : this.#callHere(target.split(".").at(-1) ?? target, given, execution, headers),
      callSync: async (target, given) => {
        const { status, body } = await this.ask(
          "POST",
          `/api/v1/execute/${target}`,
          { input: given },
          this.#context(execution, headers, target),
        );
        if (status >= 400)
          throw Object.assign(
            new Error(`execute ${target} failed (${status}): ${textOf(body["message"]) ?? textOf(body["error"])}`),
            { status },
          );
        return body["result"] ?? body;
      },
      approve: async (id, more = {}) => {
        const answered = new Promise<Record<string, unknown>>((resolve) => this.#approvals.set(id, resolve));
        const { status, body } = await this.ask(
          "POST",
          `/api/v1/agents/${this.id}/executions/${execution}/request-approval`,
          {
            approval_request_id: id,
            approval_request_url: `https://people.example/${id}`,
            callback_url: `${this.url}/webhooks/approval`,
            expires_in_hours: 72,
            ...more,
          },
        );
        if (status >= 400) throw new Error(`no approval asked (${status}): ${JSON.stringify(body)}`);
        return (await answered) as { decision: string };
      },
    };
  }

  /** The headers of a call: the execution at hand is the parent, and replay goes on with it. */
  #context(execution: string, headers: Record<string, string>, target: string): Record<string, string> {
    const run = headers["x-run-id"] ?? execution;
    const onward = [
      "x-session-id",
      "x-actor-id",
      "x-agentfield-replay-source-run-id",
      "x-agentfield-replay-before-execution-id",
      "x-agentfield-replay-mode",
    ];
    return {
      "x-run-id": run,
      "x-workflow-id": headers["x-workflow-id"] ?? run,
      "x-root-workflow-id": headers["x-workflow-id"] ?? run,
      "x-parent-execution-id": execution,
      "x-reasoner-id": target.split(".")[1] ?? target,
      "x-agent-node-id": this.id,
      ...Object.fromEntries(onward.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]]))),
    };
  }

  async #callRemote(
    target: string,
    input: unknown,
    execution: string,
    headers: Record<string, string>,
  ): Promise<unknown> {
    const called = await this.ask(
      "POST",
      `/api/v1/execute/async/${target}`,
      { input },
      this.#context(execution, headers, target),
    );
    if (called.status >= 400) {
      throw new Error(
        `execute async ${target} failed (${called.status}): ${textOf(called.body["message"]) ?? textOf(called.body["error"])}`,
      );
    }
    const child = String(called.body["execution_id"]);
    for (;;) {
      if (this.#closed) throw new Error("closed");
      const { body } = await this.ask("GET", `/api/v1/executions/${child}`).catch(() => ({
        body: {} as Record<string, unknown>,
      }));
      const { status, result } = body as { status?: string; result?: { result?: unknown } };
      if (status !== undefined && ends.has(status)) {
        if (status === "succeeded") return result?.result ?? result;
        throw new Error(
          `execution ${child} ${status}: ${textOf(body["error"]) ?? textOf(body["status_reason"]) ?? status}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  /** In this process; the plane is told by two events, which nobody waits for. */
  async #callHere(name: string, input: unknown, execution: string, headers: Record<string, string>): Promise<unknown> {
    const run = headers["x-run-id"] ?? execution;
    const child = randomUUID();
    const began = Date.now();
    const tell = (status: string, more: object): void => {
      const event = {
        execution_id: child,
        workflow_id: run,
        run_id: run,
        root_workflow_id: run,
        reasoner_id: name,
        type: name,
        agent_node_id: this.id,
        status,
        parent_execution_id: execution,
        parent_workflow_id: run,
        input_data: {},
        ...more,
      };
      void this.ask("POST", "/api/v1/workflow/executions/events", event).catch(() => {});
    };
    const work = this.#options.reasoners?.[name];
    if (work === undefined) throw new Error(`Reasoner not found: ${name}`);
    tell("running", { input_data: input ?? {} });
    try {
      const result = await this.#run(child, name, work, input, headers);
      tell("succeeded", { result, duration_ms: Date.now() - began });
      return result;
    } catch (error) {
      tell("failed", { error: (error as Error).message, duration_ms: Date.now() - began });
      throw error;
    }
  }

  #approved(body: Record<string, unknown>): object {
    const resolve = this.#approvals.get(String(body["approval_request_id"]));
    resolve?.(body);
    return { status: "received", resolved: resolve !== undefined };
  }

  #cancelled(execution: string): object {
    const abort = this.#aborts.get(execution);
    abort?.abort();
    return { cancelled: abort !== undefined, execution_id: execution };
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Plain objects go as they are, all else inside one. */
function wrapped(result: unknown): unknown {
  return typeof result === "object" && result !== null && !Array.isArray(result) ? result : { result };
}
