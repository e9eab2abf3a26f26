/** One question to an app on the worker's own behalf: how it answers a GET. For health checks. */
import { VERSION } from "../../shared/runtime/version.ts";
import { hostPort } from "../../shared/values.ts";
import { forgetAddress, oneAddress } from "./one-address.ts";
import type { Target } from "./targets.ts";

const USER_AGENT = `backend.ai-app-proxy/${VERSION} (health check)`;

/** The status of the answer; its body is not read. Rejects when there is none within `ms` milliseconds. */
export async function probeHttp(target: Target, path: string, ms: number): Promise<number> {
  const signal = AbortSignal.timeout(ms);
  const host = await oneAddress(target, signal);
  try {
    const answer = await fetch(`http://${hostPort({ host, port: target.port })}${path}`, {
      redirect: "manual",
      decompress: false,
      // Of the 64 idle connections that fetch keeps none is for probes.
      keepalive: false,
      headers: { "User-Agent": USER_AGENT, Host: hostPort(target) },
      signal,
    });
    await answer.body?.cancel();
    return answer.status;
  } catch (error) {
    // Another address of its name may be there.
    forgetAddress(target, host);
    throw error;
  }
}
