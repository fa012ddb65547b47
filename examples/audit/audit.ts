/**
 * The workflow: a licence and documentation audit of everything that is installed in a directory. Each package is one
 * step with the package as its declared input, so a crash loses at most the packages in flight, and those are asked for
 * again under the same idempotency key: the paid service charges none of them twice. When it is busy or broken, the
 * engine tries the step again, as the service asks for it. Before the report is published, which nobody can take back,
 * a person has to approve of it; then it is published once.
 */
import { z } from "zod";
import { workflow } from "../../src/index.ts";
import type { StepOptions, Workflow } from "../../src/index.ts";
import { readPackage } from "./packages.ts";
import type { InstalledPackage } from "./packages.ts";
import { askService, patience } from "./paid-client.ts";
import { firstPrompts, listFamilies, promptFor } from "./prompts.ts";
import type { ListedPackage, Prompts } from "./prompts.ts";
import { lookUp, publish } from "./publish.ts";
import type { Publication } from "./publish.ts";
import { summarise, writeReport } from "./report.ts";
import type { Finding, ReportFiles, Summary } from "./report.ts";

/** Requests to the paid service at a time: what can be in flight when a worker dies. */
export const concurrency = 8;

export type AuditInput = {
  /** The directory to audit, for example `node_modules`. */
  dir: string;
  /** Address of the paid service. */
  service: string;
  /** Folder for the reports. */
  out: string;
  /** What is asked about a package, by the family of its licence. Default: one question for all. */
  prompts?: Prompts | undefined;
};
export type AuditOutput = Summary & {
  files: ReportFiles;
  /** Whether it may be published, and what the service then said. */
  approved: boolean;
  publication: Publication | null;
};

/** What a person answers. */
const approval: z.ZodType<{ approve: boolean }> = z.strictObject({ approve: z.boolean() });

const input = z.object({
  dir: z.string().min(1),
  service: z.url(),
  out: z.string().min(1),
  prompts: z.record(z.string(), z.string()).optional(),
});

/** The audit with this code for its summary. */
export function auditWith(summarising: typeof summarise): Workflow<AuditInput, AuditOutput> {
  return workflow({ name: "audit", version: 1, input }, async (ctx, { dir, service, out, prompts = firstPrompts }) => {
    const packages = await ctx.step("list", { input: dir }, (from) => listFamilies(from));
    const questions = packages.map((one) => questionOf(one, prompts));
    const findings = await ctx.map("classify", questions, { ...patience, concurrency, key: label }, (one, step) =>
      classifyPackage(dir, service, one, { key: step.idempotencyKey, abort: step.abort }),
    );
    const summary = await ctx.step("summarise", { input: findings, effect: "pure" }, (all) => summarising(all));
    const report = { out, summary, findings };
    const files = await ctx.step("write report", { input: report }, (what) =>
      writeReport(what.out, what.summary, what.findings),
    );
    const { approve } = await ctx.wait("approval", {
      schema: approval,
      prompt: `Publish the report on ${summary.packages} packages?`,
      reason: "approval",
      input: summary,
    });
    if (!approve) return { ...summary, files, approved: false, publication: null };
    const title = `Licences of ${summary.packages} packages`;
    const publication = await ctx.step("publish", { input: title, ...publishing(service) }, (what, step) =>
      publish(service, what, { key: step.idempotencyKey, abort: step.abort }),
    );
    return { ...summary, files, approved: true, publication };
  });
}

export const audit: Workflow<AuditInput, AuditOutput> = auditWith(summarise);

/** A package, and what is asked about it. */
type Question = InstalledPackage & { prompt: string };

function questionOf({ name, version, path, family }: ListedPackage, prompts: Prompts): Question {
  return { name, version, path, prompt: promptFor(family, prompts) };
}

/** Published once; if nobody knows whether it was, the service does. */
function publishing(service: string): Pick<StepOptions<string, Publication>, "effect" | "timeout" | "reconcile"> {
  return {
    effect: "once",
    timeout: "15s",
    reconcile: (_, step) => lookUp(service, { key: step.idempotencyKey, abort: step.abort }),
  };
}

async function classifyPackage(
  dir: string,
  service: string,
  { name, version, path, prompt }: Question,
  options: { key: string; abort: AbortSignal },
): Promise<Finding> {
  const { licenceField, licenceText, readme } = await readPackage(dir, path);
  const answer = await askService(service, { name, version, prompt, licenceField, licenceText, readme }, options);
  return { name, version, path, declared: licenceField, ...answer };
}

/** What the step of a package is called; keys are joined with `/`, so its path is written with `:`. */
function label({ path }: InstalledPackage): string {
  return path
    .replaceAll(/[/#|:\p{Cc}]+/gu, ":")
    .slice(-150)
    .toWellFormed();
}
