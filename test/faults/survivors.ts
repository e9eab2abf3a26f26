/** Connections that are open when a fault comes, and have to be there after it where their node and their kernel are. */
import type { Node } from "./cluster.ts";
import type { Identity } from "./kernels.ts";
import { label, type App } from "./model.ts";
import type { Stage } from "./stage.ts";
import { placeOf } from "./visits.ts";

export interface Survivor {
  what: string;
  app: App;
  node: Node;
  /** Of the node's process when it was opened: another one can't have kept it. */
  generation: number;
  /** Resolves when it has carried something after this call. Rejects when it is closed or silent. */
  proveAlive: (ms: number) => Promise<void>;
  close(): void;
}

/** Opens a WebSocket or a stream over an app's circuit at a node. Null when it can't be had. */
export async function openSurvivor(
  stage: Stage,
  app: App,
  node: Node,
  kind: "websocket" | "stream",
): Promise<Survivor | null> {
  if (app.slot === null) return null;
  const { origin, headers } = placeOf(stage.cluster, node, app.slot);
  const all = { ...headers, ...(app.cookie === "" ? {} : { Cookie: app.cookie }) };
  const flow = kind === "websocket" ? openWebSocket(origin, all) : openStream(origin, all);
  const what = `${kind} of ${label(app)} at ${node.machine.name}`;
  const survivor: Survivor = {
    what,
    app,
    node,
    generation: node.machine.generation,
    proveAlive: (ms) => flow.next(ms),
    close: () => flow.close(),
  };
  flow.heard = ({ tenant, port }) => {
    if (tenant !== app.sessionId) stage.timeline.broken(`${what} was answered by ${String(tenant)} (${port})`);
  };
  try {
    await flow.next(3000);
    return survivor;
  } catch {
    flow.close();
    return null;
  }
}

// --- internal ---

interface Flow {
  /** Why it has ended; null while it is open. */
  ended: string | null;
  heard: (identity: Identity) => void;
  /** Resolves with the next thing that comes. */
  next(ms: number): Promise<void>;
  close(): void;
}

function createFlow(ask: () => void, close: () => void): Flow & { came(text: string): void; end(why: string): void } {
  let waiting: PromiseWithResolvers<void> | null = null;
  const flow = {
    ended: null as string | null,
    heard: (_identity: Identity): void => undefined,
    came(text: string) {
      if (text.startsWith("{")) flow.heard(JSON.parse(text) as Identity);
      waiting?.resolve();
    },
    end(why: string) {
      flow.ended ??= why;
      waiting?.reject(new Error(why));
    },
    async next(ms: number) {
      if (flow.ended !== null) throw new Error(flow.ended);
      const wait = Promise.withResolvers<void>();
      waiting = wait;
      const timer = setTimeout(() => wait.reject(new Error(`silent for ${ms} ms`)), ms);
      ask();
      await wait.promise.finally(() => clearTimeout(timer));
    },
    close,
  };
  return flow;
}

function openWebSocket(origin: string, headers: Record<string, string>): Flow {
  const socket = new WebSocket(`${origin.replace("http", "ws")}/ws`, { headers });
  let isOpen = false;
  const flow = createFlow(
    () => isOpen && socket.send("still there?"),
    () => socket.close(),
  );
  socket.addEventListener("open", () => (isOpen = true));
  socket.addEventListener("message", ({ data }) => flow.came(String(data)));
  socket.addEventListener("close", ({ code, reason }) => flow.end(`closed with ${code} ${reason}`));
  socket.addEventListener("error", () => flow.end("could not be opened"));
  return flow;
}

function openStream(origin: string, headers: Record<string, string>): Flow {
  const abort = new AbortController();
  const flow = createFlow(
    () => undefined,
    () => abort.abort(),
  );
  void read(`${origin}/stream`, headers, abort.signal, flow).then(
    () => flow.end("ended"),
    (error: unknown) => flow.end(error instanceof Error ? error.message : String(error)),
  );
  return flow;
}

async function read(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
  flow: { came(text: string): void },
): Promise<void> {
  const answer = await fetch(url, { headers, signal, keepalive: false, redirect: "manual" });
  if (!answer.ok || answer.body === null) throw new Error(`answered with ${answer.status}`);
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of answer.body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) flow.came(line);
  }
}
