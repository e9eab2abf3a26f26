/**
 * What a call must be that is let in without a secret: a program's. A page in a browser on the Manager's machine comes from the
 * same address as the Manager; it can't send JSON to another origin unasked, and its browser says that it is one. Called by
 * auth.ts; what `Host` says is judged here too, for a page whose own name leads to us.
 */
import { Failure } from "../../shared/failure.ts";
import { browserMark } from "../../shared/http/browser-marks.ts";
import { mustNameUs, type Caller, type OwnHosts } from "../../shared/http/own-hosts.ts";

/** `by`: the caller is known by its address, or anybody may call. Throws auth-failed or misdirected-request. */
export function mustBeProgram(caller: Caller, hosts: OwnHosts, by: "address" | "anybody"): void {
  mustNameUs(caller, hosts);
  const { headers } = caller;
  const mark = browserMark(headers);
  if (mark !== null) throw refused("a program, without Origin, Referer and Sec-Fetch-*", mark);
  const type = headers.get("content-type");
  if (!isJson(type))
    throw refused("Content-Type: application/json", type === null ? "none" : JSON.stringify(type.slice(0, 80)));
  if (by === "anybody") return;
  // The address is the proxy's then, and everybody's who comes through it.
  const proxied = ["X-Forwarded-For", "Forwarded"].find((name) => headers.has(name));
  if (proxied !== undefined) throw refused("a caller at its own address (manager_cidrs), through no proxy", proxied);
}

// --- internal ---

function isJson(type: string | null): boolean {
  return type !== null && /^application\/json\s*(;|$)/i.test(type.trim());
}

function refused(wanted: string, got: string): Failure {
  return new Failure("auth-failed", `without X-BackendAI-Token: wanted ${wanted}; got ${got}`);
}
