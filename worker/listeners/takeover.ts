/**
 * When a worker may take over from another process: a port that only the old one serves would refuse connections from
 * its end on, until the next heartbeat opens it. Called by worker.ts.
 */
import { reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { Frontends } from "./frontends.ts";
import type { Sibling } from "./sibling.ts";

export interface TakeOverDeps {
  sibling: Pick<Sibling, "isNew" | "hasSibling" | "serves" | "alone" | "lanes"> | null;
  frontends: Pick<Frontends, "failed">;
  /** Tries again what could not be opened. */
  retry: () => Promise<void>;
  log: Log;
}

/** Between tries to open a port. Milliseconds. */
const RETRY_MS = 100;
/** What could not be opened is tried so often once the old process has ended. */
const TRIES_ALONE = 20;

/**
 * Resolves when every port that the process serves that is taken over from is served here too. Also the old one of the two
 * processes tries again what it could not open: one may be in the way of the other at a new circuit's port.
 */
export async function takeOver({ sibling, frontends, retry, log }: TakeOverDeps): Promise<void> {
  if (sibling === null) return;
  // Of several processes there are always others; at a new circuit's port they are in the way for a moment only.
  const isHanding = () => (sibling.lanes === undefined ? sibling.hasSibling() : sibling.isNew());
  setInterval(() => {
    if (frontends.failed().length > 0 && isHanding()) void again();
  }, RETRY_MS).unref();
  void sibling.alone.then(async () => {
    // What the other one had in its way is free now.
    for (let tries = 0; tries < TRIES_ALONE && (await again()); tries++) await Bun.sleep(RETRY_MS);
  });
  let told = false;
  for (;;) {
    const missing = frontends.failed().filter((port) => sibling.serves(port));
    if (missing.length === 0) return;
    if (!told) log.warn({ ports: missing }, "ports of the old worker process can't be opened here yet; trying again");
    told = true;
    await Bun.sleep(RETRY_MS);
  }

  /** False when nothing is left to be opened. */
  async function again(): Promise<boolean> {
    if (frontends.failed().length === 0) return false;
    await retry().catch((error: unknown) => log.warn({ reason: reason(error) }, "cannot open ports again"));
    return true;
  }
}
