/** A line that breaks: what goes through it is cut off after so many bytes, wherever in an event that may be. */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

export class Cutter implements AsyncDisposable {
  /** How many lines were cut. */
  cuts = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  /** @param bytesOf how many bytes of answers the next connection carries; infinity for all */
  static async to(port: number, bytesOf: () => number): Promise<Cutter> {
    const cutter = new Cutter(port, bytesOf);
    await new Promise<void>((resolve) => void cutter.#server.listen(0, "127.0.0.1", resolve));
    return cutter;
  }

  private constructor(port: number, bytesOf: () => number) {
    this.#server = createServer((near) => this.#carry(near, port, bytesOf()));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #carry(near: Socket, port: number, bytes: number): void {
    const far = connect(port, "127.0.0.1");
    let left = bytes;
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    far.on("data", (chunk: Buffer) => {
      if (chunk.length < left) {
        left -= chunk.length;
        near.write(chunk);
        return;
      }
      this.cuts += 1;
      near.end(chunk.subarray(0, left), () => near.destroy());
      far.destroy();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }
}
