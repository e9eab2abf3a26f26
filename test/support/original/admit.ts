/** Who may pass at an old worker: the cookie for people's apps, a bearer token for model services, nothing for public ones. */
import { decode, permitIn, permitOf } from "./tokens.ts";
import { dumps, type OldCircuit } from "./wire.ts";

export interface AdmitSecrets {
  jwtSecret: string;
  permitSecret: string;
}

/** The refusal; null when the request may pass. */
export async function refusal(request: Request, circuit: OldCircuit, secrets: AdmitSecrets): Promise<Response | null> {
  if (circuit.open_to_public) return null;
  const why = await (circuit.app_mode === "interactive" ? cookieFault : bearerFault)(request, circuit, secrets);
  return why === null ? null : problem(401, "invalid-credentials", why);
}

/** An error answer as the original's. */
export function problem(status: number, type: string, msg: string): Response {
  const body = { type: `https://api.backend.ai/probs/${type}`, title: msg, error_code: "agent_auth_unauthorized", msg };
  return new Response(dumps(body), { status, headers: { "Content-Type": "application/problem+json" } });
}

// --- internal ---

type Fault = (request: Request, circuit: OldCircuit, secrets: AdmitSecrets) => Promise<string | null>;

const cookieFault: Fault = async ({ headers }, { user_id: user }, { permitSecret }) => {
  const permit = permitIn(headers.get("cookie"));
  if (permit === null) return "E20004: Authorization cookie not provided";
  return permit === permitOf(user ?? "", permitSecret) ? null : "E20005: Invalid authorization cookie";
};

const bearerFault: Fault = async ({ headers }, { id }, { jwtSecret }) => {
  const [scheme = "", token = ""] = (headers.get("authorization") ?? "").split(" ");
  if (scheme === "") return "E20006: Authorization header not provided";
  if (!["bearer", "backendai"].includes(scheme.toLowerCase()))
    return `E20007: Unsupported authorization method ${scheme}`;
  try {
    const claims = await decode(token, jwtSecret);
    return claims["id"] === id ? null : "E20009: Authorization token mismatch";
  } catch (error) {
    return `E20008: Invalid authorization token (${String(error)})`;
  }
};
