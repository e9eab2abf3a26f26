/**
 * The two limits of Bun's that a proxy has to raise, and that Bun reads only at its start. Called by main files before
 * anything is open, and by the worker's supervisor.
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
  const whole = withHttpLimits(env);
  const isSmall = maxHeaderSize < MAX_HEAD && !whole.flags.some((flag) => execArgv.includes(flag));
  if (env[REQUESTS] !== undefined && !isSmall) return true;
  if (argv.some((argument) => /^(--config=)?\/(dev\/fd|proc)\//.test(argument))) return false;
  const flags = isSmall ? [...execArgv, ...whole.flags] : execArgv;
  process.execve?.(execPath, [execPath, ...flags, ...argv.slice(1)], whole.env);
  return false;
}

/** Flags and environment with which a process has the limits from its start. */
export function withHttpLimits(env: Record<string, string | undefined>): {
  flags: string[];
  env: Record<string, string | undefined>;
} {
  return { flags: [`--max-http-header-size=${MAX_HEAD}`], env: { ...env, [REQUESTS]: env[REQUESTS] ?? MAX_REQUESTS } };
}

// --- internal ---

const REQUESTS = "BUN_CONFIG_MAX_HTTP_REQUESTS";
