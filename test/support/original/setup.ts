/**
 * An old worker's `/setup`: one hop. The cookie is set by the API's answer; browsers send it to every port of the host.
 * Heads and bodies as the worker 26.9.6 on aiohttp 3.14 answered them; the value has quotes because it ends with `=`, and a
 * token that can't be decoded is an error of the server's.
 */
import { problem, type AdmitSecrets } from "./admit.ts";
import { decode, PERMIT_COOKIE, permitOf } from "./tokens.ts";
import { dumps, type OldCircuit } from "./wire.ts";

/** `ask` fetches a circuit from the coordinator; it rejects for one that is not there. */
export async function setup(
  request: Request,
  { jwtSecret, permitSecret }: AdmitSecrets,
  ask: (id: string) => Promise<OldCircuit>,
): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname !== "/setup") return Response.json({ api_version: "v2" });
  const token = searchParams.get("token") ?? "";
  try {
    const { circuit: id, redirect } = await decode(token, jwtSecret);
    const circuit = await ask(String(id));
    if (circuit.app_mode === "inference")
      return problem(400, "generic-bad-request", "E20011: Not supported for inference apps");
    const path = typeof redirect === "string" ? redirect : "";
    if (circuit.protocol === "tcp") return tcpAnswer(circuit, token);
    const permit = permitOf(circuit.user_id ?? "", permitSecret);
    return new Response("302: Found", {
      status: 302,
      headers: {
        ...HEADERS,
        Location: `http://127.0.0.1:${circuit.port}${path === "" || path.startsWith("/") ? path : `/${path}`}`,
        "Content-Type": "text/plain; charset=utf-8",
        "Set-Cookie": `${PERMIT_COOKIE}="${permit}"; HttpOnly; Max-Age=604800; Path=/; SameSite=Lax`,
      },
    });
  } catch {
    return problem(500, "internal-server-error", "Internal server error.");
  }
}

// --- internal ---

const HEADERS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Headers": "*",
  "Access-Control-Expose-Headers": "*",
  "Cache-Control": "no-store",
};

function tcpAnswer({ port }: OldCircuit, token: string): Response {
  const uri = `http://localhost:45678/start?directTCP=true&auth=${token}&proto=tcp&gateway=tcp%3A%2F%2F127.0.0.1%3A${port}`;
  return new Response(dumps({ redirect: uri, redirectURI: uri }), {
    headers: { ...HEADERS, "Content-Type": "application/json; charset=utf-8" },
  });
}
