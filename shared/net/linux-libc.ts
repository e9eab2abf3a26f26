/** Calls of the C library that Bun has no own for. Linux with glibc; null elsewhere. */
import { dlopen } from "bun:ffi";

export type Libc = NonNullable<ReturnType<typeof load>>;

let loaded: Libc | null | undefined;

export function libc(): Libc | null {
  if (loaded === undefined) loaded = load();
  return loaded;
}

// --- internal ---

function load() {
  if (process.platform !== "linux") return null;
  try {
    return dlopen("libc.so.6", {
      dup: { args: ["int"], returns: "int" },
      close: { args: ["int"], returns: "int" },
      getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
      setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
      socket: { args: ["int", "int", "int"], returns: "int" },
      bind: { args: ["int", "ptr", "u32"], returns: "int" },
      connect: { args: ["int", "ptr", "u32"], returns: "int" },
      getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
      getpeername: { args: ["int", "ptr", "ptr"], returns: "int" },
      ioctl: { args: ["int", "u64", "ptr"], returns: "int" },
      shutdown: { args: ["int", "int"], returns: "int" },
    }).symbols;
  } catch {
    return null; // another C library
  }
}
