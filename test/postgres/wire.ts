/**
 * A wire to the test database that a test can tamper with: notifications get lost on it, as they do on the way through
 * some poolers; or everything does, as where a machine falls off the network without a word.
 */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

export type Wire = {
  /** The database, through this wire. */
  readonly url: string;
  /** Whether notifications are lost. */
  deaf: boolean;
  /** Whether nothing comes through any more, either way, not even a goodbye; connections stay as they are. */
  dead: boolean;
  /** How many connections were made through it, and how many notifications came. */
  connections: number;
  notifications: number;
  end(): Promise<void>;
};

/** NotificationResponse (https://www.postgresql.org/docs/current/protocol-message-formats.html). */
const notification = "A";
/** The type of a message and its length. */
const headBytes = 5;

/** Lays a wire to the database at `url`, which is not reached by TLS. */
export async function wireTo(url: string): Promise<Wire> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    // Either end may be gone at any moment, which is no affair of the wire's.
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    wire.connections += 1;
    const database = connect(Number(port), hostname);
    keep(client);
    keep(database);
    client.on("data", (bytes) => void (wire.dead || database.write(bytes)));
    let rest: Buffer = Buffer.alloc(0);
    database.on("data", (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= headBytes && rest.length > rest.readUInt32BE(1)) {
        const size = 1 + rest.readUInt32BE(1);
        const isNotification = String.fromCharCode(rest[0] ?? 0) === notification;
        if (isNotification) wire.notifications += 1;
        if (!wire.dead && !(wire.deaf && isNotification)) client.write(rest.subarray(0, size));
        rest = rest.subarray(size);
      }
    });
    client.once("end", () => void (wire.dead || client.end()));
    client.once("close", () => database.destroy());
    database.once("close", () => void (wire.dead || client.destroy()));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const there = new URL(url);
  there.hostname = "127.0.0.1";
  there.port = String((server.address() as AddressInfo).port);
  const wire: Wire = {
    url: there.href,
    deaf: false,
    dead: false,
    connections: 0,
    notifications: 0,
    async end() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return wire;
}
