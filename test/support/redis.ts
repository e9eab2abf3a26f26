/** A real redis-server on a free loopback port. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startOutside, type Outside } from "./outside.ts";
import { freePort } from "./ports.ts";
import { until } from "./until.ts";

export interface RedisServer {
  port: number;
  url: string;
  /** Ends the process; `start` brings up an empty one on the same port, unless it runs. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Sends the process a signal, such as SIGSTOP. */
  signal(name: NodeJS.Signals): void;
}

/** `more`: further arguments of redis-server. */
export async function startRedis(more: readonly string[] = []): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-redis-"));
  let port = await freePort();
  let child: Outside | null = null;

  async function start(): Promise<void> {
    if (child !== null && child.exitCode === null && child.signalCode === null) return;
    mkdirSync(directory, { recursive: true });
    const args = [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      "--dir",
      directory,
      "--appendonly",
      "no",
      ...more,
    ];
    child = startOutside(["redis-server", ...args]);
    const started = child;
    await until(async () => {
      // A program that is no test took the port.
      if (started.exitCode !== null) throw new Error(`redis-server ended with ${started.exitCode} on port ${port}`);
      return answersPing(port);
    });
  }

  async function startSomewhere(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await start();
      } catch (error) {
        if (attempt >= 5) throw error;
        port = await freePort();
      }
    }
  }

  await startSomewhere();
  return {
    get port() {
      return port;
    },
    get url() {
      return `redis://127.0.0.1:${port}`;
    },
    start,
    signal: (name) => child?.kill(name),
    async stop() {
      child?.kill("SIGKILL");
      await child?.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function answersPing(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  try {
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (self) => void self.write("PING\r\n"),
        // With users of its own it wants to know who asks.
        data: (_self, data) => resolve(/^(\+PONG|-NOAUTH)/.test(data.toString())),
        close: () => resolve(false),
        error: () => resolve(false),
      },
    });
    const answer = await promise;
    socket.end();
    return answer;
  } catch {
    return false; // not listening yet
  }
}
