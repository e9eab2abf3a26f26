/** Requests from an address of their own: a service sums up the refusals of one address in its log. Linux has all of 127/8. */
import { connect } from "node:net";

/** Sends bytes from there, and gives all that comes back until the other side closes. */
export function askFrom(address: string, port: number, bytes: string, host = "127.0.0.1"): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ port, host, localAddress: address });
  let said = "";
  socket.on("connect", () => void socket.write(Buffer.from(bytes, "latin1")));
  socket.on("data", (more: Buffer) => void (said += more.toString("latin1")));
  socket.on("close", () => resolve(said));
  socket.on("error", reject);
  return promise;
}

let asked = 0;

/** An address that this process has not used yet. */
export function freshAddress(): string {
  asked++;
  return `127.9.${asked >> 8}.${asked & 255}`;
}
