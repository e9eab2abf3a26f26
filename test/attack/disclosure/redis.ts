/** Redis as somebody sees it who may read it all: single commands, every command of others, every key. */
import { connect, type Socket } from "node:net";
import { Redis } from "ioredis";

/** Sends a command over a connection of its own, and gives the first of what comes back. */
export function redisCall(port: number, password: string, command: readonly string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = open(port, password, command);
  let said = "";
  socket.on("data", (more) => {
    said += more.toString();
    if (!said.endsWith("\r\n") || said.split("\r\n").length <= (password === "" ? 1 : 2)) return;
    socket.destroy();
    resolve(said);
  });
  // It may have been told to cut this one too.
  socket.on("close", () => resolve(said));
  socket.on("error", reject);
  return promise;
}

export interface Monitor {
  seen(): string;
  stop(): void;
}

/** Every command that anybody sends, with its arguments: values, messages, scripts. Comes again when it is cut. */
export function monitor(port: number, password: () => string): Monitor {
  const parts: string[] = [];
  let isOver = false;
  let socket: Socket;
  const begin = () => {
    socket = open(port, password(), ["MONITOR"]);
    socket.on("data", (more) => void parts.push(more.toString("latin1")));
    socket.on("error", () => undefined); // "close" follows
    socket.on("close", () => {
      if (!isOver) setTimeout(begin, 20);
    });
  };
  begin();
  return {
    seen: () => parts.join(""),
    stop() {
      isOver = true;
      socket.destroy();
    },
  };
}

/** All keys of all databases with their values, a line each. */
export async function everyKey(port: number, password: string): Promise<string[]> {
  const lines: string[] = [];
  for (let db = 0; db < 16; db++) {
    const redis = new Redis({ port, host: "127.0.0.1", password, db });
    for (const key of await redis.keys("*")) lines.push(`${db} ${key} ${JSON.stringify(await valueOf(redis, key))}`);
    redis.disconnect();
  }
  return lines;
}

// --- internal ---

function open(port: number, password: string, command: readonly string[]): Socket {
  const socket = connect({ port, host: "127.0.0.1" });
  const text = (words: readonly string[]) => `*${words.length}\r\n${words.map((one) => `$${one.length}\r\n${one}\r\n`).join("")}`; // prettier-ignore
  socket.write((password === "" ? "" : text(["AUTH", password])) + text(command));
  return socket;
}

async function valueOf(redis: Redis, key: string): Promise<unknown> {
  switch (await redis.type(key)) {
    case "string":
      return redis.get(key);
    case "hash":
      return redis.hgetall(key);
    case "stream":
      return redis.xrange(key, "-", "+");
    case "list":
      return redis.lrange(key, 0, -1);
    case "set":
      return redis.smembers(key);
    default:
      return redis.zrange(key, "0", "-1", "WITHSCORES");
  }
}
