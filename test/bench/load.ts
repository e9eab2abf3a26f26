/**
 * The loads that wrk can't make, each run as a process of its own: `bun load.ts KIND OPTIONS`, where OPTIONS is JSON.
 * Prints what it measured as JSON. Speaks over raw sockets, so that it costs less than what it measures.
 */
import { loadBytes, type BytesOptions } from "./load-bytes.ts";
import { beginHarm, loadCalm, type NeighbourOptions } from "./load-neighbour.ts";
import { loadEvents, loadFirstByte, type StreamOptions } from "./load-stream.ts";
import { loadEcho, loadFlood, openIdle, type WebSocketOptions } from "./load-websocket.ts";

const [kind = "", json = "{}"] = process.argv.slice(2);
console.log(JSON.stringify(await run(JSON.parse(json))));
// Open connections would hold the process; idle ones, and harm, are to stay until it is stopped.
if (kind !== "idle" && kind !== "harm") process.exit(0);

function run(options: unknown): Promise<object> {
  switch (kind) {
    case "first-byte":
      return loadFirstByte(options as StreamOptions);
    case "events":
      return loadEvents(options as StreamOptions);
    case "bytes":
      return loadBytes(options as BytesOptions);
    case "echo":
      return loadEcho(options as WebSocketOptions);
    case "flood":
      return loadFlood(options as WebSocketOptions);
    case "calm":
      return loadCalm(options as NeighbourOptions);
    case "harm":
      return beginHarm(options as NeighbourOptions);
    case "idle":
      return openIdle(options as WebSocketOptions);
    default:
      throw new Error(`unknown load "${kind}"`);
  }
}
