/** One question to an app on the worker's own behalf: how it answers a GET. For health checks. */
import { VERSION } from "../../shared/runtime/version.ts";
import { hostPort } from "../../shared/values.ts";

const HEADERS = { "User-Agent": `backend.ai-app-proxy/${VERSION} (health check)` };

/** The status of the answer; its body is not read. Rejects when there is none within `ms` milliseconds. */
export async function probeHttp(host: string, port: number, path: string, ms: number): Promise<number> {
  const answer = await fetch(`http://${hostPort({ host, port })}${path}`, {
    redirect: "manual",
    decompress: false,
    // Of the 64 idle connections that fetch keeps none is for probes.
    keepalive: false,
    headers: HEADERS,
    signal: AbortSignal.timeout(ms),
  });
  await answer.body?.cancel();
  return answer.status;
}
