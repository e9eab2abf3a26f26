/**
 * A port on which nobody listens, and that nobody else gets: connections are refused while it is held. Linux lets one listen there
 * all the same who asks for that port by its number (socket(7), SO_REUSEADDR), as Bun does.
 */
import { dlopen, ptr } from "bun:ffi";

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;

/** Holds a port of 127.0.0.1; gives what ends that, once. Throws when somebody listens there. */
export function holdPort(port: number): () => void {
  if (process.platform !== "linux") return () => undefined;
  const { symbols: c } = libc();
  const fd = c.socket(AF_INET, SOCK_STREAM, 0);
  c.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ptr(new Int32Array([1])), 4);
  // struct sockaddr_in.
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  address.writeUInt32BE(0x7f000001, 4);
  let isHeld = true;
  const release = () => {
    // Its number may be another file's by now.
    if (isHeld) c.close(fd);
    isHeld = false;
  };
  if (c.bind(fd, ptr(address), address.length) === 0) return release;
  release();
  throw new Error(`cannot hold port ${port}`);
}

// --- internal ---

let loaded: ReturnType<typeof load> | null = null;

function libc() {
  return (loaded ??= load());
}

function load() {
  return dlopen("libc.so.6", {
    socket: { args: ["int", "int", "int"], returns: "int" },
    setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
    bind: { args: ["int", "ptr", "u32"], returns: "int" },
    close: { args: ["int"], returns: "int" },
  });
}
