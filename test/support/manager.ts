/** Plays the platform's Manager and the person who follows its redirect. */

export const API_SECRET = "test-api-secret-0123456789";
export const JWT_SECRET = "test-jwt-secret-0123456789";
export const PERMIT_SECRET = "test-permit-secret-0123456789";

export interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

export interface ConfWish {
  kernel_host?: string;
  kernel_port: number;
  session_id?: string;
  user_uuid?: string;
}

/** What a person has after being let in. */
export interface Entered {
  /** Scheme, host and port of the circuit. */
  origin: string;
  cookie: string;
  circuitId: string;
  sessionId: string;
  token: string;
  redirectUrl: string;
  /** Where the entry redirected to. */
  path: string;
  reuse: boolean;
}

export class Manager {
  readonly baseUrl: string;
  readonly #secret: string;

  constructor(baseUrl: string, secret = API_SECRET) {
    this.baseUrl = baseUrl;
    this.#secret = secret;
  }

  /** Any call; JSON answers are parsed, others give an empty body. */
  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const answer = await fetch(this.baseUrl + path, {
      method,
      redirect: "manual",
      headers: { "Content-Type": "application/json", ...headers },
      body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    const json = answer.headers.get("content-type")?.includes("json") === true;
    return {
      status: answer.status,
      headers: answer.headers,
      body: json ? (JSON.parse(text) as Record<string, unknown>) : {},
    };
  }

  /** A call with the api_secret. */
  api(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call(method, path, body, { "X-BackendAI-Token": this.#secret, ...headers });
  }

  /** `POST /v2/conf`; gives the token. */
  async conf(wish: ConfWish, headers: Record<string, string> = {}): Promise<{ token: string; sessionId: string }> {
    const sessionId = wish.session_id ?? crypto.randomUUID();
    const answer = await this.call("POST", "/v2/conf", confBody({ ...wish, session_id: sessionId }), headers);
    if (answer.status !== 200) throw new Error(`conf answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return { token: String(answer.body["token"]), sessionId };
  }

  /** `POST /v2/proxy/auth` with JSON. */
  auth(
    token: string,
    sessionId: string,
    wish: Record<string, unknown> = {},
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return this.call(
      "POST",
      "/v2/proxy/auth",
      { app: "jupyter", protocol: "http", token, session_id: sessionId, ...wish },
      { Accept: "application/json", ...headers },
    );
  }

  /** Everything: conf, auth, setup, entry. */
  async enter(
    wish: ConfWish,
    proxy: Record<string, unknown> = {},
    headers: Record<string, string> = {},
  ): Promise<Entered> {
    const { token, sessionId } = await this.conf(wish, headers);
    const opened = await this.auth(token, sessionId, proxy);
    if (opened.status !== 200) throw new Error(`auth answered ${opened.status}: ${JSON.stringify(opened.body)}`);
    const redirectUrl = String(opened.body["redirect_url"]);
    return {
      ...(await follow(redirectUrl)),
      circuitId: String(opened.body["circuit_id"]),
      sessionId,
      token,
      redirectUrl,
      reuse: opened.body["reuse"] === true,
    };
  }
}

/** Follows /setup and /_appproxy/enter as a browser does, and keeps the cookie. */
export async function follow(redirectUrl: string): Promise<{ origin: string; cookie: string; path: string }> {
  const setup = await fetch(redirectUrl, { redirect: "manual" });
  const location = setup.headers.get("location");
  if (setup.status !== 302 || location === null)
    throw new Error(`setup answered ${setup.status}: ${await setup.text()}`);
  const entered = await fetch(location, { redirect: "manual" });
  if (entered.status !== 303)
    return { origin: new URL(location).origin, cookie: "", path: location.slice(new URL(location).origin.length) };
  const cookie = entered.headers
    .getSetCookie()
    .map((line) => line.split(";", 1)[0])
    .join("; ");
  return { origin: new URL(location).origin, cookie, path: entered.headers.get("location") ?? "" };
}

let kernels = 0;

/** Where a kernel of its own is, with nobody listening: two sessions never have one address. */
export function newKernel(): { kernel_host: string; kernel_port: number } {
  const at = ++kernels;
  return { kernel_host: `127.${64 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`, kernel_port: 1 };
}

/** A whole body of `POST /v2/conf`. */
export function confBody(wish: ConfWish) {
  return {
    login_session_token: null,
    kernel_host: wish.kernel_host ?? "127.0.0.1",
    kernel_port: wish.kernel_port,
    session: {
      id: wish.session_id ?? crypto.randomUUID(),
      user_uuid: wish.user_uuid ?? "11111111-2222-4333-8444-555555555555",
      project_id: "66666666-7777-4888-8999-aaaaaaaaaaaa",
      access_key: "AKTEST",
      domain_name: "default",
    },
  };
}
