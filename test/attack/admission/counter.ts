/** The app behind all circuits: counts what reaches it, whatever that is, and says yes to everything. */
import { answer, app, type Asked, type Upstream } from "../../contract/upstreams.ts";

export interface Counter {
  port: number;
  /** How often each case has reached it, by its mark. */
  seen: ReadonlyMap<string, number>;
  /** What has reached it without a mark, as it came. */
  strays(): string[];
}

/** The header in which a request says of which case it is. */
export const MARK = "X-Case";
/** What only the app says. */
export const APPS = "x-app";

export function startCounter(): Counter {
  const seen = new Map<string, number>();
  const unmarked: string[] = [];
  const upstream: Upstream = app(async (asked) => {
    const mark = asked.head.get(MARK);
    if (mark === null) unmarked.push(asked.head.line);
    else seen.set(mark, (seen.get(mark) ?? 0) + 1);
    await asked.body();
    await asked.wire.send(welcome(asked));
  });
  return {
    port: upstream.port,
    seen,
    // What is no whole request has been counted nowhere.
    strays: () => [...unmarked, ...upstream.wires.map((wire) => wire.text()).filter((text) => text !== "")],
  };
}

// --- internal ---

function welcome({ head }: Asked): Buffer {
  const wanted = head.get("upgrade");
  if (wanted === null) {
    const whole = answer(200, [[APPS, "1"], ["Content-Type", "text/plain"]], "in"); // prettier-ignore
    return head.method === "HEAD" ? whole.subarray(0, -"in".length) : whole;
  }
  const key = head.get("sec-websocket-key") ?? "";
  const accept = Bun.SHA1.hash(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, "base64");
  return Buffer.from(
    `HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: ${wanted}\r\nSec-WebSocket-Accept: ${accept}\r\n${APPS}: 1\r\n\r\n`,
  );
}
