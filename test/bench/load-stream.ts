/** Event streams as a load: how long the first byte takes, and how late each event comes. Run by load.ts. */
import { sumUp } from "./measure.ts";

export interface StreamOptions {
  port: number;
  host: string;
  cookie: string;
  /** Streams: one after the other for the first byte, at once for events. */
  streams: number;
  /** Events of each, and milliseconds between them. */
  count: number;
  every: number;
}

/** Milliseconds from the request to the first event, on a new connection each time. */
export async function loadFirstByte(options: StreamOptions): Promise<object> {
  const times: number[] = [];
  for (let turn = 0; turn < options.streams; turn++) {
    let first = 0;
    const { asked } = await stream({ ...options, count: 1 }, () => (first ||= performance.now()));
    times.push(first - asked);
  }
  return sumUp("first byte", 1, times, 1000);
}

/** Milliseconds from when the app sent an event to when it was read. Clocks are the same: one machine. */
export async function loadEvents(options: StreamOptions): Promise<object> {
  const delays: number[] = [];
  const all = Array.from({ length: options.streams }, () =>
    stream(options, (sentAt) => delays.push(performance.timeOrigin + performance.now() - sentAt)),
  );
  await Promise.all(all);
  const wanted = options.streams * options.count;
  if (delays.length !== wanted) throw new Error(`${delays.length} events came; wanted ${wanted}`);
  return sumUp("events", options.streams, delays, 1000);
}

// --- internal ---

/** Resolves when the stream has ended. */
async function stream(options: StreamOptions, event: (sentAt: number) => void): Promise<{ asked: number }> {
  const { port, host, cookie, count, every } = options;
  const ended = Promise.withResolvers<void>();
  let rest = "";
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_socket, bytes) {
        rest += bytes.toString("latin1");
        for (let found = EVENT.exec(rest); found !== null; found = EVENT.exec(rest)) {
          event(Number(found[1]));
          rest = rest.slice(found.index + found[0].length);
        }
      },
      close: () => ended.resolve(),
      error: (_socket, error) => ended.reject(error),
    },
  });
  const asked = performance.now();
  socket.write(
    `GET /events?count=${count}&every=${every} HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`,
  );
  await ended.promise;
  return { asked };
}

/** Chunk sizes stand between events; an event is never split over chunks. */
const EVENT = /data: ([\d.]+)\n\n/;
