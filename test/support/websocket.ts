/** A WebSocket client for tests: what it heard, how it closed. */

export interface Talk {
  opened: boolean;
  protocol: string;
  heard: (string | Buffer)[];
  send(message: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
  closed: Promise<{ code: number; reason: string }>;
}

/** Resolves when the handshake has succeeded or failed. */
export async function talk(
  url: string,
  options: { headers?: Record<string, string>; protocols?: string[] },
): Promise<Talk> {
  const socket = new WebSocket(url, { headers: options.headers ?? {}, protocols: options.protocols ?? [] });
  socket.binaryType = "nodebuffer";
  const heard: Talk["heard"] = [];
  const opened = Promise.withResolvers<boolean>();
  const closed = Promise.withResolvers<{ code: number; reason: string }>();
  socket.onopen = () => opened.resolve(true);
  socket.onerror = () => opened.resolve(false);
  socket.onmessage = ({ data }) => heard.push(data as string | Buffer);
  socket.onclose = ({ code, reason }) => {
    opened.resolve(false);
    closed.resolve({ code, reason });
  };
  return {
    opened: await opened.promise,
    protocol: socket.protocol,
    heard,
    send: (message) => socket.send(message),
    close: (code, reason) => socket.close(code, reason),
    closed: closed.promise,
  };
}
