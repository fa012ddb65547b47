/**
 * A pooler in front of the test database, as many have one: it pools by transaction, so each transaction of a client may
 * have another connection of the server, and a client finds there what others have left. It keeps no prepared statements
 * apart, as PgBouncer did not before 1.21 and does not with `max_prepared_statements = 0`.
 */
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import pg from "pg";

export type Pooler = {
  /** The database, through this pooler. */
  readonly url: string;
  end(): Promise<void>;
};

/** https://www.postgresql.org/docs/current/protocol-message-formats.html */
const types = { readyForQuery: "Z", terminate: "X" } as const;
const sslRequest = 80_877_103;
/** What ReadyForQuery says where no transaction is open. */
const idle = "I".charCodeAt(0);

/** Cuts what comes into messages; `head` bytes come before the length of each. */
function messagesOf(each: (type: string, message: Buffer) => void): (bytes: Buffer, head?: number) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (bytes, head = 1) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= head + 4 && rest.length >= head + rest.readUInt32BE(head)) {
      const message = rest.subarray(0, head + rest.readUInt32BE(head));
      rest = rest.subarray(message.length);
      each(head === 0 ? "" : String.fromCharCode(message[0] ?? 0), message);
    }
  };
}

const message = (type: string, body: string): Buffer => {
  const bytes = Buffer.from(`${type}\0\0\0\0${body}`, "latin1");
  bytes.writeUInt32BE(bytes.length - 1, 1);
  return bytes;
};

/** What a client is told when it connects: that it is let in, what is set, and that it may ask. */
const greeting = Buffer.concat([
  message("R", "\0\0\0\0"),
  message("S", "client_encoding\0UTF8\0"),
  message("K", "\0\0\0\u0001\0\0\0\u0001"),
  message(types.readyForQuery, "I"),
]);

/** A client, and the connection of the server that it has while it is in a transaction. */
type Client = { socket: Socket; backend: Promise<Backend> | undefined };
type Backend = { socket: Socket; client: Client | undefined };

class Backends {
  readonly #free: Backend[] = [];
  readonly #waiting: ((backend: Backend) => void)[] = [];
  readonly #owners: pg.Client[] = [];

  async add(url: string): Promise<void> {
    const owner = new pg.Client(url);
    await owner.connect();
    this.#owners.push(owner);
    // It has let us in, whatever it takes for that; from here on its bytes are ours.
    const { stream } = (owner as unknown as { connection: { stream: Socket } }).connection;
    stream.removeAllListeners("data");
    const backend: Backend = { socket: stream, client: undefined };
    const read = messagesOf((type, bytes) => {
      const { client } = backend;
      client?.socket.write(bytes);
      if (client === undefined || type !== types.readyForQuery || bytes.at(-1) !== idle) return;
      client.backend = undefined;
      backend.client = undefined;
      this.#give(backend);
    });
    stream.on("data", (bytes: Buffer) => read(bytes));
    this.#give(backend);
  }

  take(): Promise<Backend> {
    // Not always the same, so that nobody finds what it has left by luck.
    const [found] = this.#free.splice(Math.floor(Math.random() * this.#free.length), 1);
    return found === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(found);
  }

  async end(): Promise<void> {
    await Promise.all(this.#owners.map((owner) => owner.end()));
  }

  #give(backend: Backend): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(backend);
    else next(backend);
  }
}

/** Starts one with `size` connections to the database at `url`. */
export async function poolerTo(url: string, size: number): Promise<Pooler> {
  const backends = new Backends();
  for (let i = 0; i < size; i += 1) await backends.add(url);
  const clients = new Set<Socket>();
  const server = createServer((socket) => {
    clients.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.once("close", () => clients.delete(socket));
    const client: Client = { socket, backend: undefined };
    let greeted = false;
    const read = messagesOf((type, bytes) => {
      if (!greeted) {
        greeted = bytes.readUInt32BE(4) !== sslRequest;
        socket.write(greeted ? greeting : "N");
      } else if (type === types.terminate) socket.end();
      else {
        client.backend ??= backends.take();
        void client.backend.then((backend) => {
          backend.client = client;
          backend.socket.write(bytes);
        });
      }
    });
    socket.on("data", (bytes: Buffer) => read(bytes, greeted ? 1 : 0));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const here = new URL(url);
  here.hostname = "127.0.0.1";
  here.port = String((server.address() as AddressInfo).port);
  return {
    url: here.href,
    async end() {
      server.close();
      for (const socket of clients) socket.destroy();
      await backends.end();
    },
  };
}
