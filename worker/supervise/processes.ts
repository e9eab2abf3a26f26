/** How many processes the supervisor keeps (`proxy_worker.processes`). Read once, when it starts. */
import { readConfigFile } from "../../shared/config/file.ts";
import { loadWorkerConfig, processCount, WORKER_FILE } from "../config.ts";

/**
 * As the worker's own configuration says, with its arguments. 1 where that can't be read: the worker says what is wrong with
 * it.
 */
export function wantedProcesses(args: readonly string[], env: Record<string, string | undefined>): number {
  try {
    const file = readConfigFile(WORKER_FILE, [...args]);
    // Only a help or a check is wanted: once.
    if (file === null || file.check) return 1;
    return processCount(loadWorkerConfig(file.source, file.toml, env).values.proxy_worker.processes);
  } catch {
    return 1;
  }
}
