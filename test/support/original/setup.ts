/** An old worker's `/setup`: one hop. The cookie is set by the API's answer; browsers send it to every port of the host. */
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
    return new Response(null, {
      status: 308,
      headers: {
        Location: `http://127.0.0.1:${circuit.port}${path}`,
        "Set-Cookie": `${PERMIT_COOKIE}=${permitOf(circuit.user_id ?? "", permitSecret)}; Path=/`,
      },
    });
  } catch (error) {
    return problem(401, "invalid-credentials", String(error));
  }
}

// --- internal ---

function tcpAnswer({ port }: OldCircuit, token: string): Response {
  const uri = `http://localhost:45678/start?directTCP=true&auth=${token}&proto=tcp&gateway=tcp://127.0.0.1:${port}`;
  return new Response(dumps({ redirect: uri, redirectURI: uri }), { headers: { "Content-Type": "application/json" } });
}
