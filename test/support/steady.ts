/** Clients that ask all the time, and note whatever goes wrong: for what must happen without anybody noticing. */

export interface Steady {
  /** How much went well so far. */
  done(): number;
  /** What went wrong. */
  failures: string[];
  /** Resolves when what was under way has ended. */
  stop(): Promise<void>;
}

/** Runs `clients` loops of `work`. Each round gives what went wrong, or null. */
export function steadily(clients: number, work: (client: number) => Promise<string | null>): Steady {
  let on = true;
  let done = 0;
  const failures: string[] = [];
  const loops = Array.from({ length: clients }, async (_, client) => {
    while (on) {
      const failure = await work(client);
      if (failure === null) done++;
      else failures.push(failure);
    }
  });
  return {
    done: () => done,
    failures,
    async stop() {
      on = false;
      await Promise.all(loops);
    },
  };
}

/** A GET over a connection of its own, with TLS if asked, whatever the certificate. */
export async function askAnew(port: number, head: string, tls = false): Promise<string | null> {
  const said = await converse(port, `GET / HTTP/1.1\r\n${head}Connection: close\r\n\r\n`, { tls });
  return said.startsWith("HTTP/1.1 200 ") ? null : said.slice(0, 80);
}

/** A line over a TCP connection of its own, to a server that echoes it. */
export async function echoAnew(port: number): Promise<string | null> {
  const said = await converse(port, "hello\n", { enough: "hello\n" });
  return said === "hello\n" ? null : said;
}

/** A client that keeps its connection, as long as the server does not say that it closes it. */
export class KeptConnection {
  #socket: Bun.Socket | null = null;
  #heard = "";
  #wake: () => void = () => undefined;
  /** When it was opened, and when the last answer came; for the message when it is closed. */
  #times = { opened: 0, answered: 0 };
  readonly #tls: boolean;

  constructor(tls = false) {
    this.#tls = tls;
  }

  /** Null when the answer is 200; else what came. */
  async ask(port: number, head: string, path = "/"): Promise<string | null> {
    try {
      const socket = (this.#socket ??= await this.#connect(port));
      this.#heard = "";
      const asked = performance.now();
      socket.write(`GET ${path} HTTP/1.1\r\n${head}\r\n`);
      while (!isWhole(this.#heard)) {
        if (this.#socket === null) return this.#closedAfter(asked);
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await promise;
      }
    } catch (error) {
      return `no connection: ${String(error)}`;
    }
    this.#times.answered = performance.now();
    if (/\r\nconnection: close\r\n/i.test(this.#heard)) this.close();
    return this.#heard.startsWith("HTTP/1.1 200 ") ? null : this.#heard.slice(0, 80);
  }

  /** False once the server has said that it closes it, or has. */
  get isOpen(): boolean {
    return this.#socket !== null;
  }

  close(): void {
    this.#socket?.end();
    this.#socket = null;
  }

  // --- internal ---

  #closedAfter(asked: number): string {
    const [opened, answered] = [this.#times.opened, this.#times.answered].map((at) => Math.round(asked - at));
    const waited = Math.round(performance.now() - asked);
    const heard = JSON.stringify(this.#heard.slice(0, 80));
    return `the connection was closed after ${heard}, ${waited} ms after a request, ${answered} ms after the last answer, ${opened} ms after it was opened`;
  }

  /** Resolves when it can be written to: over TLS after the handshake. */
  async #connect(port: number): Promise<Bun.Socket> {
    const usable = Promise.withResolvers<void>();
    const gone = (socket: Bun.Socket) => {
      usable.reject(new Error("closed before it could be used"));
      if (socket === this.#socket) this.#socket = null;
      this.#wake();
    };
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      ...(this.#tls ? { tls: anyCertificate } : {}),
      socket: {
        open: () => {
          if (!this.#tls) usable.resolve();
        },
        handshake: () => usable.resolve(),
        data: (_socket, bytes) => {
          this.#heard += bytes.toString("latin1");
          this.#wake();
        },
        close: gone,
        error: gone,
      },
    });
    await usable.promise;
    this.#times = { opened: performance.now(), answered: performance.now() };
    return socket;
  }
}

// --- internal ---

function isWhole(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(answer.slice(0, end))?.[1];
  return length === undefined ? answer.endsWith("0\r\n\r\n") : answer.length >= end + 4 + Number(length);
}

const anyCertificate = { rejectUnauthorized: false };

/** All that is answered until the other side closes, or until it has said `enough`. */
async function converse(
  port: number,
  question: string,
  { enough, tls = false }: { enough?: string; tls?: boolean },
): Promise<string> {
  let said = "";
  const over = Promise.withResolvers<string>();
  try {
    await Bun.connect({
      hostname: "127.0.0.1",
      port,
      ...(tls ? { tls: anyCertificate } : {}),
      socket: {
        open: (socket) => void socket.write(question),
        data(socket, bytes) {
          said += bytes.toString("latin1");
          if (said === enough) socket.end();
        },
        close: (_socket, error) =>
          over.resolve(
            said === "" ? `closed without an answer${error === undefined ? "" : `: ${String(error)}`}` : said,
          ),
        error: (_socket, error) => over.resolve(`broken: ${String(error)}`),
      },
    });
  } catch (error) {
    return `no connection: ${String(error)}`;
  }
  return over.promise;
}
