/** Two other readers of the same streams: llhttp in Node, and HAProxy before an app that reads with the strict model. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Request } from "../model/requests.ts";
import { startApp } from "../run/app.ts";
import { connect } from "../run/wires.ts";

export interface Peer {
  name: string;
  to: { port: number } | { unix: string };
}

export interface Peers {
  /** Null where one of them is not installed: then nothing can be said. */
  both: [Peer, Peer] | null;
  close(): Promise<void>;
}

/** How a peer says what it took a request for. */
export function toldOf({ method, body }: Pick<Request, "method" | "body">): string {
  return `${method} ${new Bun.CryptoHasher("sha1").update(Buffer.from(body, "latin1")).digest("hex")}`;
}

export async function startPeers(): Promise<Peers> {
  const [node, haproxy] = [Bun.which("node"), Bun.which("haproxy")];
  if (node === null || haproxy === null) return { both: null, close: () => Promise.resolve() };
  const llhttp = await startLlhttp(node);
  const relay = await startHaproxy(haproxy);
  return {
    both: [llhttp.peer, relay.peer],
    async close() {
      await llhttp.close();
      await relay.close();
    },
  };
}

// --- internal ---

interface Started {
  peer: Peer;
  close(): Promise<void>;
}

async function startLlhttp(node: string): Promise<Started> {
  const child = Bun.spawn([node, join(import.meta.dirname, "llhttp.mjs")], { stdio: ["pipe", "pipe", "inherit"] });
  const reader = child.stdout.getReader();
  let said = "";
  while (!said.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error("llhttp.mjs has ended before it listened");
    said += new TextDecoder().decode(value);
  }
  return {
    peer: { name: "llhttp", to: { port: Number(said) } },
    async close() {
      child.kill();
      await child.exited;
    },
  };
}

async function startHaproxy(program: string): Promise<Started> {
  const app = startApp((request) => ({
    bytes: `HTTP/1.1 ${request.refusedWith ?? 200} Told\r\nX-Told: ${toldOf(request)}\r\nContent-Length: 0\r\n\r\n`,
    cuts: [],
    ending: "keep",
  }));
  const directory = mkdtempSync(join(tmpdir(), "fuzz-"));
  const unix = join(directory, "in");
  writeFileSync(join(directory, "haproxy.cfg"), configuration(unix, app.port));
  const child = Bun.spawn([program, "-db", "-q", "-f", join(directory, "haproxy.cfg")], { stdio: ["ignore", "ignore", "ignore"] }); // prettier-ignore
  await listening(unix);
  return {
    peer: { name: "HAProxy", to: { unix } },
    async close() {
      child.kill("SIGKILL");
      await child.exited;
      app.stop();
      rmSync(directory, { recursive: true });
    },
  };
}

/** Its buffers hold the longest head that the proxy takes. */
function configuration(unix: string, port: number): string {
  return `global
  maxconn 200
  tune.bufsize 140000
  tune.http.maxhdr 32767
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend in
  bind unix@${unix}
  default_backend out
backend out
  server app 127.0.0.1:${port}
`;
}

async function listening(unix: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      (await connect({ unix })).reset();
      return;
    } catch (error) {
      if (tries > 400) throw error;
      await Bun.sleep(25);
    }
  }
}
