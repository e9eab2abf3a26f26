/**
 * Callers' connections: each takes a file, and `Bun.serve` refuses none. Near the process's limit those that are quiet make way, so
 * that nobody takes the API from the Manager and the workers by being silent, before a call or in the middle of one.
 */
import type { Log } from "../../shared/runtime/log.ts";
import { Crowding } from "../../shared/net/crowding.ts";
import { fileLimit } from "../../shared/net/file-limit.ts";
import { ServedFiles } from "../../shared/net/served-files.ts";
import type { PeerSource } from "./peer.ts";

export interface Callers {
  /** A call has come whole over a connection, which is in use until `ended`. More than once does no harm. */
  began(request: Request, server: PeerSource | null): void;
  /** More than once does no harm. */
  ended(request: Request): void;
  /** The API is at this port from now on. Gives what is called when it is not any more. */
  listens(port: number): () => void;
}

export function createCallers({ log }: { log: Log }): Callers {
  const limit = fileLimit();
  const crowding = new Crowding(log);
  const files = limit === null ? null : new ServedFiles({ limit, crowding, log });
  /** Ports of callers whose call is under way. */
  const under = new WeakMap<Request, number>();
  return {
    began(request, server) {
      // A request that has taken another's place has no connection of its own.
      const port = server?.requestIP(request)?.port;
      if (port === undefined || under.has(request)) return;
      under.set(request, port);
      files?.busy(port);
    },
    ended(request) {
      const port = under.get(request);
      if (port === undefined) return;
      under.delete(request);
      files?.idle(port);
    },
    listens(port) {
      const noLonger = files?.listens(port);
      return () => {
        noLonger?.();
        crowding.stop();
      };
    },
  };
}
