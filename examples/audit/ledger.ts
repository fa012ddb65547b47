/**
 * The books of the paid service: every request, every charge, every stored answer and every published report, in a
 * SQLite file of its own.
 * What the audit claims about money is read from here. The guarantee that the service sells is idempotency: the charge
 * and the answer of a key are written in one transaction, and a key that has an answer is never charged again.
 * `charges` has no unique key on purpose: a fault in that guarantee must show up as a figure, not as an exception.
 */
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import type { Publication } from "./publish.ts";

/** Price of one classification, in thousandths of a cent. */
export const price = 250;

export type LedgerFigures = {
  /** Requests to `POST /classify`, with any outcome. */
  requests: number;
  /** Rows in the table of charges. */
  charges: number;
  /** Distinct keys that were charged. */
  charged: number;
  /** Keys with more than one charge. */
  chargedTwice: number;
  /** Requests for a key that had been answered with 200 before. */
  repeated: number;
  /** Sum of all charges, in thousandths of a cent. */
  amount: number;
  /** Requests by outcome; `open` are those not answered (yet, or because the service ended). */
  byStatus: Record<string, number>;
  /** Reports that were published. */
  publications: number;
  /** Requests to `POST /publish`. */
  publishRequests: number;
};

/** What the service shall do with a request: answer it from the books, refuse it, or charge for it. */
export type Sale = { status: 200; answer: string; repeated: boolean } | { status: 422 };

const schema = /* sql */ `
  create table if not exists requests (
    id     integer primary key,
    key    text,
    at     integer not null,
    status integer
  ) strict;
  create index if not exists requests_key on requests (key);

  create table if not exists charges (
    id     integer primary key,
    key    text not null,
    amount integer not null,
    at     integer not null
  ) strict;
  create index if not exists charges_key on charges (key);

  create table if not exists answers (
    key    text primary key,
    body   text not null,
    answer text not null
  ) strict, without rowid;

  create table if not exists publish_requests (
    id     integer primary key,
    key    text not null,
    at     integer not null
  ) strict;

  create table if not exists publications (
    id     integer primary key,
    key    text not null,
    title  text not null,
    at     integer not null
  ) strict;
  create index if not exists publications_key on publications (key);
`;

const sql = {
  opened: /* sql */ `insert into requests (key, at) values (?, ?) returning id`,
  closed: /* sql */ `update requests set status = ? where id = ?`,
  earlier: /* sql */ `select count(*) as n from requests where key = ? and id < ?`,
  answer: /* sql */ `select body, answer from answers where key = ?`,
  store: /* sql */ `insert into answers (key, body, answer) values (?, ?, ?)`,
  charge: /* sql */ `insert into charges (key, amount, at) values (?, ?, ?)`,
  byStatus: /* sql */ `select coalesce(status, 'open') as status, count(*) as n from requests group by 1 order by 1`,
  charges: /* sql */ `
    select count(*) as charges, count(distinct key) as charged, coalesce(sum(amount), 0) as amount from charges`,
  twice: /* sql */ `select count(*) as n from (select key from charges group by key having count(*) > 1)`,
  publish: /* sql */ `insert into publications (key, title, at) values (?, ?, ?) returning id as number, title`,
  published: /* sql */ `select id as number, title from publications where key = ? order by id`,
  publishRequest: /* sql */ `insert into publish_requests (key, at) values (?, ?)`,
  publications: /* sql */ `
    select (select count(*) from publications) as publications,
           (select count(*) from publish_requests) as requests`,
  repeated: /* sql */ `select count(*) - count(distinct key) as n from requests where status = 200`,
};

/** The open books. One process at a time writes to them; others may read. Close them to release the file. */
export class Ledger {
  readonly #db: DatabaseSync;
  #open = true;

  /** @param file path of the database; made if it does not exist */
  constructor(file: string) {
    this.#db = new DatabaseSync(file);
    this.#db.exec("pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000;");
    this.#db.exec(schema);
  }

  /** Records that a request has come, before anything is done for it. Returns its number. */
  request(key: string | null): number {
    return Number(this.#row(sql.opened, key, Date.now())["id"]);
  }

  /** Records the outcome of a request that is neither sold nor served from the books. */
  refuse(request: number, status: number): void {
    this.#db.prepare(sql.closed).run(status, request);
  }

  /** Whether no request with this key came before this one. */
  isFirst(request: number, key: string): boolean {
    return this.#row(sql.earlier, key, request)["n"] === 0;
  }

  /**
   * Sells one answer, in one transaction: charge, answer and outcome are all written or none. For a key that has an
   * answer, that answer comes back and nothing is charged; with another body than the first time the key is refused.
   */
  sell(request: number, key: string, body: string, work: () => string): Sale {
    const digest = createHash("sha256").update(body).digest("hex");
    this.#db.exec("begin immediate");
    try {
      const sale = this.#sale(key, digest, work);
      this.#db.prepare(sql.closed).run(sale.status, request);
      this.#db.exec("commit");
      return sale;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("rollback");
      throw error;
    }
  }

  #sale(key: string, digest: string, work: () => string): Sale {
    const stored = this.#db.prepare(sql.answer).get(key);
    if (stored) {
      return stored["body"] === digest
        ? { status: 200, answer: String(stored["answer"]), repeated: true }
        : { status: 422 };
    }
    const answer = work();
    this.#db.prepare(sql.charge).run(key, price, Date.now());
    this.#db.prepare(sql.store).run(key, digest, answer);
    return { status: 200, answer, repeated: false };
  }

  /** Records that somebody wants a report published, before anything is done for it. */
  publishRequest(key: string): void {
    this.#db.prepare(sql.publishRequest).run(key, Date.now());
  }

  /** Publishes a report; under a key that was published already, it is that one. */
  publish(key: string, title: string): Publication {
    this.#db.exec("begin immediate");
    try {
      const publication = this.published(key) ?? asPublication(this.#row(sql.publish, key, title, Date.now()));
      this.#db.exec("commit");
      return publication;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("rollback");
      throw error;
    }
  }

  /** What was published under a key. */
  published(key: string): Publication | undefined {
    const row = this.#db.prepare(sql.published).get(key);
    return row === undefined ? undefined : asPublication(row);
  }

  figures(): LedgerFigures {
    const { publications, requests: publishRequests } = this.#row(sql.publications);
    const { charges, charged, amount } = this.#row(sql.charges);
    const byStatus = this.#db.prepare(sql.byStatus).all();
    return {
      requests: byStatus.reduce((sum, row) => sum + Number(row["n"]), 0),
      charges: Number(charges),
      charged: Number(charged),
      chargedTwice: Number(this.#row(sql.twice)["n"]),
      repeated: Number(this.#row(sql.repeated)["n"]),
      amount: Number(amount),
      byStatus: Object.fromEntries(byStatus.map((row) => [String(row["status"]), Number(row["n"])])),
      publications: Number(publications),
      publishRequests: Number(publishRequests),
    };
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#db.close();
  }

  #row(statement: string, ...values: (string | number | null)[]): Record<string, unknown> {
    const row = this.#db.prepare(statement).get(...values);
    if (!row) throw new Error(`expected a row from: ${statement}`);
    return row;
  }
}

function asPublication({ number, title }: Record<string, unknown>): Publication {
  return { number: Number(number), title: String(title) };
}
