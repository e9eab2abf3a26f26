/** Apps that keep every byte that they get. One answers as it should; the others have faults, in which secrets of their own stand. */
import { createHash } from "node:crypto";
import type { Secrets } from "./secrets.ts";

export interface RecordingApp {
  port: number;
  /** All that has come, in Latin-1. */
  received(): string;
  stop(): void;
}

/** `answer` is asked for each whole request; `end` is what follows. Null: it goes on with what comes next. */
export function recordingApp(answer: (request: string, at: number) => string | null): RecordingApp {
  const parts: string[] = [];
  let asked = 0;
  const listener = Bun.listen<{ said: string; isOpen: boolean }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void (socket.data = { said: "", isOpen: false }),
      data(socket, bytes) {
        const text = bytes.toString("latin1");
        parts.push(text);
        socket.data.said += text;
        // The first frame of a WebSocket, or bytes of TCP: enough.
        if (socket.data.isOpen) return void socket.end();
        if (!isWhole(socket.data.said)) return;
        const told = answer(socket.data.said, asked++);
        socket.data.isOpen = told?.startsWith("HTTP/1.1 101") === true;
        if (told !== null) socket.write(told);
        if (!socket.data.isOpen) socket.end();
      },
      error: (socket) => void socket.end(),
    },
  });
  return { port: listener.port, received: () => parts.join("\n"), stop: () => listener.stop(true) };
}

/** As an app should. */
export function goodApp(): RecordingApp {
  return recordingApp((request) => {
    const key = /^sec-websocket-key: *(\S+)/im.exec(request)?.[1];
    if (key === undefined) return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
  });
}

/** Each of its answers is broken in another way, beginning with one of them, and has a secret of the app's where it is. */
export function brokenApp(secrets: Secrets, first = 0): RecordingApp {
  const m = (place: string) => secrets.mark(`the app's ${place}`, { isUsers: true });
  const answers = [
    () => `HTTP/1.1 200 OK\r\nSet-Cookie: sid=${m("cookie, cut")}`,
    () => `HTTP/1.1 200 OK\r\nContent-Length: 99\r\nSet-Cookie: sid=${m("cookie, body cut")}\r\n\r\n${m("body, cut")}`,
    () => `HTTP/1.1 200 OK\r\nContent-Length: ${m("length")}\r\n\r\n`,
    () => `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${m("coding")}\r\n\r\n`,
    () => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${m("chunk size")}\r\n`,
    () => `HTTP/1.1 200 OK\r\n${m("line without a colon")}\r\n\r\n`,
    () => `HTTP/1.1 200 OK\r\nX y: ${m("name with a space")}\r\n\r\n`,
    () => `HTTP/1.1 200 OK\r\nX: \0${m("value with a NUL")}\r\n\r\n`,
    () => `HTTP/1.1 ${m("status")} OK\r\n\r\n`,
    () => `${m("first line")}\r\n\r\n`,
    () => `HTTP/1.1 302 Found\r\nLocation: http://[${m("location")}\r\nContent-Length: 0\r\n\r\n`,
    () =>
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${m("upgrade")}\r\nSec-WebSocket-Accept: ${m("accept")}\r\n\r\n`,
    () =>
      `HTTP/1.1 401 ${m("reason")}\r\nWWW-Authenticate: Basic realm="a"\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n`,
  ];
  return recordingApp((_, at) => answers[(first + at) % answers.length]?.() ?? null);
}

// --- internal ---

/** A head with the body that it announces; bytes that are no HTTP at once. */
function isWhole(said: string): boolean {
  const end = said.indexOf("\r\n\r\n");
  if (end === -1) return said.includes("\n") && !/^[A-Z]+ \S+ HTTP/.test(said);
  if (/^transfer-encoding:/im.test(said.slice(0, end)))
    return said.includes("\r\n0\r\n", end - 2) && said.endsWith("\r\n\r\n");
  const length = Number(/^content-length: *(\d+)/im.exec(said.slice(0, end))?.[1] ?? 0);
  return said.length >= end + 4 + length;
}
