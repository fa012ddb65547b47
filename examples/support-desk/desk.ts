/**
 * A support desk as a graph. Every ticket is classified and takes its own way: questions are answered, outages go to who
 * is on call, small refunds are granted, large ones are put before a person, spam goes nowhere. All that is answered
 * meets again in the report, which waits for what can still come and for nothing else.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { z } from "zod";
import { executor, responseHandler, WorkflowBuilder } from "../../src/graph.ts";
import type { Executor, Workflow, WorkflowContext } from "../../src/graph.ts";
import type { Kind, Ticket } from "./tickets.ts";
import { amountOf, classify, money, readTickets } from "./tickets.ts";

/** Where the tickets are, and where replies go: a file with a line for each that was sent. */
export type DeskInput = { readonly tickets: string; readonly outbox: string };

export type Reply = { readonly ticket: number; readonly kind: Kind; readonly to: string; readonly text: string };

/** Who puts the replies together is told what became of all tickets. */
export type Report = { readonly replies: readonly Reply[]; readonly spam: number };

type Sorted = { readonly ticket: Ticket; readonly kind: Kind };

const decision = z.object({ approve: z.boolean(), note: z.string().optional() });

/** Refunds above this, in cents, are a person's to grant. */
const grantedMax = 50_00;

/** @param entered is told of each invocation that begins */
export function supportDesk(entered: (executor: string) => void = () => {}): Workflow<DeskInput, Report> {
  const node = <I, O>(id: string, run: (message: I, ctx: WorkflowContext<O, Report>) => void): Executor<I, O, Report> =>
    executor<I, O, Report>(id, (message, ctx) => {
      entered(id);
      run(message, ctx);
    });

  const read = node<DeskInput, Ticket>("read", ({ tickets, outbox }, ctx) => {
    ctx.setState("outbox", outbox);
    for (const ticket of readTickets(readFileSync(tickets, "utf8"))) ctx.sendMessage(ticket);
  });

  const sort = node<Ticket, Sorted>("sort", (ticket, ctx) => {
    const kind = classify(ticket);
    if (kind === "spam") ctx.setState("spam", ticket.id);
    else ctx.sendMessage({ ticket, kind }, { route: kind === "refund" || kind === "outage" ? kind : "usual" });
  });

  const answer = node<Sorted, Reply>("answer", (sorted, ctx) => {
    const text =
      sorted.kind === "thanks" ? "thank you for your kind words." : "please see the attached page of our manual.";
    ctx.sendMessage(replyTo(sorted, text));
  });

  const onCall = node<Sorted, Reply>("on call", (sorted, ctx) => {
    ctx.addEvent("page", { ticket: sorted.ticket.id });
    ctx.sendMessage(replyTo(sorted, "our engineers are looking at it right now."));
  });

  const refund = executor<Sorted, Reply>(
    "refund",
    {
      onResponse: responseHandler<Sorted, z.infer<typeof decision>, Reply>(
        { response: decision },
        (sorted, { approve, note }, ctx) => {
          const amount = money(amountOf(sorted.ticket.text));
          const why = note === undefined ? "" : ` (${note})`;
          ctx.sendMessage(
            replyTo(sorted, approve ? `we have refunded ${amount}${why}.` : `we cannot refund ${amount}${why}.`),
          );
        },
      ),
    },
    (sorted, ctx) => {
      entered("refund");
      const amount = amountOf(sorted.ticket.text);
      if (amount <= grantedMax) ctx.sendMessage(replyTo(sorted, `we have refunded ${money(amount)}.`));
      else {
        const { id, name, subject } = sorted.ticket;
        ctx.requestInfo(sorted, { id: `refund ${id}`, prompt: `Refund ${money(amount)} to ${name}? "${subject}"` });
      }
    },
  );

  const send = executor<Reply, Reply>("send", { effect: "once" }, (reply, ctx) => {
    entered("send");
    appendFileSync(ctx.getState("outbox") as string, `${JSON.stringify(reply)}\n`);
    ctx.sendMessage(reply);
  });

  const report = node<Reply[], never>("report", (replies, ctx) => {
    const spam = ((ctx.getState("spam") ?? []) as number[]).length;
    ctx.yieldOutput({ replies: replies.toSorted((a, b) => a.ticket - b.ticket), spam });
  });

  return new WorkflowBuilder<DeskInput, Report>({ name: "support-desk", start: read, state: { spam: "append" } })
    .addEdge(read, sort)
    .addRoutes(sort, [
      { to: refund, route: "refund" },
      { to: onCall, route: "outage", priority: 1 },
      { to: answer, route: "usual", otherwise: true },
    ])
    .addEdge(answer, send)
    .addEdge(onCall, send)
    .addEdge(refund, send)
    .addEdge(send, report)
    .addJoin(report)
    .build();
}

function replyTo({ ticket, kind }: Sorted, text: string): Reply {
  return { ticket: ticket.id, kind, to: ticket.from, text: `Dear ${ticket.name}, ${text}` };
}
