/**
 * Counts and times of a server in the text format of Prometheus
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Labels are routes of the contract, never what was typed.
 */

const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] as const;

export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #buckets: number[] = bounds.map(() => 0);
  #seconds = 0;
  #count = 0;
  streams = 0;

  /** A request was answered. `route` is one of the contract, or "none". */
  answered(route: string, status: number, seconds: number): void {
    const labels = `route="${route}",status="${status}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
    for (const [i, bound] of bounds.entries()) if (seconds <= bound) this.#buckets[i] = (this.#buckets[i] ?? 0) + 1;
    this.#seconds += seconds;
    this.#count += 1;
  }

  text(feedPosition: number): string {
    const histogram = "stemma_http_request_seconds";
    const lines = [
      "# HELP stemma_http_requests_total Requests answered, by route and status.",
      "# TYPE stemma_http_requests_total counter",
      ...[...this.#requests].map(([labels, count]) => `stemma_http_requests_total{${labels}} ${count}`),
      `# HELP ${histogram} Time until the answer began.`,
      `# TYPE ${histogram} histogram`,
      ...bounds.map((bound, i) => `${histogram}_bucket{le="${bound}"} ${this.#buckets[i] ?? 0}`),
      `${histogram}_bucket{le="+Inf"} ${this.#count}`,
      `${histogram}_sum ${this.#seconds}`,
      `${histogram}_count ${this.#count}`,
      "# HELP stemma_streams_open Streams of events that are open.",
      "# TYPE stemma_streams_open gauge",
      `stemma_streams_open ${this.streams}`,
      "# HELP stemma_feed_position Position up to which this server has read the feed for those who follow it.",
      "# TYPE stemma_feed_position gauge",
      `stemma_feed_position ${feedPosition}`,
    ];
    return `${lines.join("\n")}\n`;
  }
}
