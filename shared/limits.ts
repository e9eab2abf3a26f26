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
 * However the process was started, it begins anew with the limits, with the same process id and arguments. Gives true
 * when they are there. False when it can't begin anew: a file that is only open (`--config <(…)`) would be lost.
 */
export function raiseHttpLimits(): boolean {
  const { env, argv, execPath } = process;
  // The folder has been changed already.
  const execArgv = process.execArgv.filter((flag, at, all) => !/^--cwd(=|$)/.test(flag) && all[at - 1] !== "--cwd");
  const flag = `--max-http-header-size=${MAX_HEAD}`;
  const isSmall = maxHeaderSize < MAX_HEAD && !execArgv.includes(flag);
  if (env[REQUESTS] !== undefined && !isSmall) return true;
  if (argv.some((argument) => /^(--config=)?\/(dev\/fd|proc)\//.test(argument))) return false;
  const flags = isSmall ? [...execArgv, flag] : execArgv;
  process.execve?.(execPath, [execPath, ...flags, ...argv.slice(1)], {
    ...env,
    [REQUESTS]: env[REQUESTS] ?? MAX_REQUESTS,
  });
  return false;
}

// --- internal ---

const REQUESTS = "BUN_CONFIG_MAX_HTTP_REQUESTS";
