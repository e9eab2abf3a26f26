/**
 * Addresses on loopback that accept connections only when told: one that swallows them all, and one with a full queue
 * behind a request that is being served. Needs no privileges.
 */
import { dlopen, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { owed } from "../support/owed.ts";

export interface Doorway {
  port: number;
  /** How many connections to it are being made. */
  asking(): number;
  /** Accepts the connection that has come, and gives the function that sends bytes over it. Waits for it. */
  accept(): Promise<(bytes: Uint8Array) => void>;
  /** Fills the queue: Linux drops the SYNs of all further connections. */
  fill(): Promise<void>;
  stop(): void;
}

/** A port that neither accepts nor refuses connections. */
export async function blackhole(): Promise<Doorway> {
  const hole = doorway();
  await hole.fill();
  return hole;
}

/** A listening socket with the shortest queue there is. */
export function doorway(): Doorway {
  const libc = dlopen("libc.so.6", {
    socket: { args: ["int", "int", "int"], returns: "int" },
    bind: { args: ["int", "ptr", "u32"], returns: "int" },
    getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
    listen: { args: ["int", "int"], returns: "int" },
    poll: { args: ["ptr", "u64", "int"], returns: "int" },
    accept: { args: ["int", "ptr", "ptr"], returns: "int" },
    connect: { args: ["int", "ptr", "u32"], returns: "int" },
    recv: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
    send: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
    close: { args: ["int"], returns: "int" },
  });
  const { symbols: c } = libc;
  const fd = c.socket(AF_INET, SOCK_STREAM, 0);
  const address = loopback();
  if (c.bind(fd, ptr(address), address.length) !== 0 || c.listen(fd, 0) !== 0) throw new Error("cannot listen");
  c.getsockname(fd, ptr(address), ptr(u32(address.length)));
  const port = address.readUInt16BE(2);
  const open = [fd];

  /** Polls, because waiting would hold up the whole process. */
  async function isReady(one: number, event: number, ms: number): Promise<boolean> {
    const wanted = Buffer.alloc(8);
    wanted.writeInt32LE(one, 0);
    wanted.writeInt16LE(event, 4);
    const isThere = () => c.poll(ptr(wanted), 1, 0) === 1;
    for (const end = performance.now() + ms; performance.now() < end; await Bun.sleep(2)) if (isThere()) return true;
    // This process may not have had the processor meanwhile.
    return isThere();
  }

  return {
    port,
    asking: () => asking(address),
    async accept() {
      if (!(await isReady(fd, POLLIN, 5000))) throw new Error("no connection came");
      const taken = c.accept(fd, null, null);
      open.push(taken);
      return (bytes) => {
        // What was not read would turn the close into a reset.
        c.recv(taken, ptr(Buffer.alloc(65_536)), 65_536, MSG_DONTWAIT);
        c.send(taken, ptr(bytes), bytes.length, 0);
      };
    },
    async fill() {
      // One that hangs is closed again: its SYNs would tell of more connections than there are.
      for (;;) {
        const filler = c.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        open.push(filler);
        c.connect(filler, ptr(address), address.length);
        if (await isReady(filler, POLLOUT, owed(HANGS_MS))) continue;
        c.close(filler);
        open.pop();
        return;
      }
    },
    stop() {
      for (const one of open) c.close(one);
      libc.close();
    },
  };
}

// --- internal ---

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const POLLIN = 1;
const POLLOUT = 4;
const MSG_DONTWAIT = 0x40;
/** A connection to loopback that is not there by then will not come: it takes microseconds. */
const HANGS_MS = 200;

/** struct sockaddr_in: family, port 0 (any), 127.0.0.1. */
function loopback(): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt32BE(0x7f000001, 4);
  return address;
}

/** Linux tells it in its table: number, local address, remote address in its own hexadecimal, state SYN_SENT, … */
function asking(address: Buffer): number {
  const port = address.toString("hex", 2, 4).toUpperCase();
  const line = new RegExp(`^ *\\d+: \\S+ 0100007F:${port} 02 `, "gm");
  return readFileSync("/proc/net/tcp", "latin1").match(line)?.length ?? 0;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
