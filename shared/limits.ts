/**
 * The two limits of Bun's that a proxy has to raise, and that Bun reads only at its start. Called by main files before
 * anything is open.
 */
import { maxHeaderSize } from "node:http";

/** Requests that `fetch` carries at once; Bun's own limit is 256. */
const MAX_REQUESTS = "65000";
/** dataplane H12. Bytes; Bun's own limit is 16 KiB. */
const MAX_HEAD = 65_536;

/**
 * However the process was started, it begins anew with the limits: the same process id, arguments and open files.
 * Returns when they are there already.
 */
export function raiseHttpLimits(): void {
  const { env, execArgv, argv, execPath } = process;
  const flag = `--max-http-header-size=${MAX_HEAD}`;
  const isSmall = maxHeaderSize < MAX_HEAD && !execArgv.includes(flag);
  if (env[REQUESTS] !== undefined && !isSmall) return;
  const flags = isSmall ? [...execArgv, flag] : execArgv;
  process.execve?.(execPath, [execPath, ...flags, ...argv.slice(1)], {
    ...env,
    [REQUESTS]: env[REQUESTS] ?? MAX_REQUESTS,
  });
}

// --- internal ---

const REQUESTS = "BUN_CONFIG_MAX_HTTP_REQUESTS";
