/** Requests byte by byte, as no well-behaved client would send them. */
import { connect } from "node:net";

export type RawAnswer = { status: number; headers: string; body: string };

/** What is answered to these bytes until the server closes the line or has answered once. */
export function raw(port: number, text: string | Uint8Array, host: string = "127.0.0.1"): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(text));
    let got = "";
    const done = (): void => {
      socket.destroy();
      const [head = "", ...rest] = got.split("\r\n\r\n");
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0), headers: head, body: rest.join("\r\n\r\n") });
    };
    socket.on("data", (chunk) => {
      got += chunk.toString("latin1");
      const length = Number(/content-length: (\d+)/i.exec(got)?.[1] ?? NaN);
      const head = got.indexOf("\r\n\r\n");
      if (head >= 0 && (got.length - head - 4 >= length || got.endsWith("0\r\n\r\n"))) done();
    });
    socket.on("close", done);
    socket.on("error", (error) => (got === "" ? reject(error) : done()));
    socket.setTimeout(10_000, done);
  });
}

/** A request with these headers, one a line. */
export function request(line: string, headers: readonly string[], body: string = ""): string {
  return [`${line} HTTP/1.1`, ...headers, "Connection: close", "", body].join("\r\n");
}
