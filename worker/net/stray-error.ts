/**
 * What Bun calls when a socket's handler has thrown: a fault of ours. The connection goes, and the error reaches the log as
 * any other that nobody has caught (shared/runtime/process.ts). What the system says of a connection is told by `close`.
 */
export function strayError(socket: { terminate: () => void }, error: Error): void {
  socket.terminate();
  if (!("syscall" in error)) throw error;
}
