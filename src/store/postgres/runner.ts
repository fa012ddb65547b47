/** What the operations of the store see of the database: one statement at a time, in or outside of a transaction. */

/** A row as it comes: numbers are numbers (or an error, beyond 2^53), booleans are booleans, all else is text. */
export type Row = Record<string, unknown>;

export type Runner = {
  /** Runs one statement, `@.` in its text standing for the schema, and gives its rows. */
  query<R extends object = Row>(text: string, values?: readonly unknown[]): Promise<R[]>;
};
