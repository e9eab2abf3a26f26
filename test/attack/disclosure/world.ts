/** Circuits of each kind with people who were let in to them: where requests may go, and the real secrets that go with them. */
import { SignJWT } from "jose";
import { blackhole, type Doorway } from "../../contract/blackhole.ts";
import { brokenApp, goodApp, recordingApp, type RecordingApp } from "./apps.ts";
import { DOMAIN, USERS, type Kind, type Services } from "./services.ts";
import { redisCall } from "./redis.ts";
import { headersOf, shoot, statusOf, type Target } from "./shoot.ts";
import type { Secrets } from "./secrets.ts";

/** Somewhere that requests go. */
export interface Door extends Target {
  name: string;
  kind: "coordinator" | "api" | "app" | "tcp";
  host: string;
  /** Header lines that let in; none where nothing does. */
  admits: string[];
  /** For a circuit: the name of its permit's cookie. */
  cookie?: string;
  /** Of a TCP circuit: addresses that were let in. */
  from?: string;
}

/** A request's bytes. */
export interface Message {
  method?: string;
  target: string;
  host: string;
  lines?: readonly string[];
  body?: string;
  version?: string;
}

export function written({ method = "GET", target, host, lines = [], body = "", version = "1.1" }: Message): string {
  const length = body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body, "latin1")}`];
  return [`${method} ${target} HTTP/${version}`, `Host: ${host}`, ...lines, ...length, "Connection: close", "", body].join("\r\n"); // prettier-ignore
}

/** What a person who has opened an app brings to its worker. */
interface Came {
  circuitId: string;
  setupToken: string;
}

interface Wish {
  kind: Kind;
  port: number;
  host?: string;
  proxy?: Record<string, unknown>;
  /** Comes with the original's cookie alone. */
  legacy?: boolean;
  name: string;
}

export class World {
  readonly services: Services;
  readonly secrets: Secrets;
  readonly doors: Door[] = [];
  /** Real ones by kind, for requests that bring them to where they are not for. */
  readonly tokens: string[] = [];
  readonly setupTokens: string[] = [];
  readonly tickets: string[] = [];
  readonly permits: string[] = [];
  readonly bearers: string[] = [];
  /** JWTs with which the API may be called. */
  readonly apiTokens: string[] = [];
  readonly sessions: string[] = [];
  /** Tokens with their sessions, with which an app is opened again. */
  readonly again: { token: string; session_id: string }[] = [];
  readonly circuits: string[] = [];
  readonly endpoints: string[] = [];
  readonly apps: RecordingApp[];
  readonly tcpApp: RecordingApp;
  readonly broken: RecordingApp;
  /** Their health checks find something wrong. */
  readonly unwell: RecordingApp[];
  readonly #hole: Doorway;

  private constructor(services: Services, hole: Doorway) {
    this.services = services;
    this.secrets = services.secrets;
    this.#hole = hole;
    // An address is one session's: an app for each circuit.
    this.apps = Array.from({ length: 12 }, goodApp);
    this.broken = brokenApp(this.secrets);
    this.tcpApp = recordingApp(() => null);
    this.unwell = [2, 4, 5, 8, 9].map((first) => brokenApp(this.secrets, first));
    for (const app of [...this.apps, this.broken, this.tcpApp, ...this.unwell]) services.defer(() => app.stop());
    services.defer(() => hole.stop());
  }

  static async open(services: Services): Promise<World> {
    const world = new World(services, await blackhole());
    await world.#openAll();
    return world;
  }

  /** A call to the coordinator; with the secret unless other lines are given. */
  async call(method: string, path: string, body?: unknown, lines?: readonly string[]) {
    const auth = lines ?? [`X-BackendAI-Token: ${this.services.secret("secrets.api_secret")}`];
    const message = { method, target: path, host: `127.0.0.1:${this.services.port}`, lines: ["Content-Type: application/json", "Accept: application/json", ...auth] }; // prettier-ignore
    const answer = await shoot({
      port: this.services.port,
      bytes: written({ ...message, body: body === undefined ? "" : JSON.stringify(body) }),
    });
    const text = answer.slice(answer.indexOf("\r\n\r\n") + 4);
    if (statusOf(answer) !== 200) throw new Error(`${method} ${path}: ${answer}`);
    return JSON.parse(text) as Record<string, unknown>;
  }

  /** conf, auth, setup, enter: all with a person's own secrets beside what is needed. */
  async journey(wish: Wish): Promise<void> {
    const { secrets } = this;
    const { kind, port, host = "127.0.0.1" } = wish;
    const id = crypto.randomUUID();
    const session = { id, user_uuid: USERS[kind], project_id: crypto.randomUUID(), access_key: secrets.mark("access_key"), domain_name: "default" }; // prettier-ignore
    const conf = { login_session_token: secrets.mark("login_session_token"), kernel_host: host, kernel_port: port, session }; // prettier-ignore
    const token = secrets.real("a conf token", String((await this.call("POST", "/v2/conf", conf, []))["token"]));
    const app = kind === "tcp" ? { protocol: "tcp" } : { protocol: "http", redirect: `/lab?token=${secrets.mark("redirect", { isUsers: true })}` }; // prettier-ignore
    const request = { app: "jupyter", token, session_id: id, ...app, ...wish.proxy };
    const opened = await this.call("POST", "/v2/proxy/auth", request, this.#own());
    const setupToken = String(opened["token"]);
    secrets.real("a setup token's signature", setupToken.split(".")[2] ?? "");
    const came = { circuitId: String(opened["circuit_id"]), setupToken };
    this.tokens.push(token);
    this.sessions.push(id);
    this.setupTokens.push(setupToken);
    this.circuits.push(came.circuitId);
    if (wish.proxy === undefined && kind !== "tcp") this.again.push({ token, session_id: id });
    await (kind === "tcp" ? this.#knock(wish, came) : this.#enter(wish, came));
  }

  /** Says on the channels of the platform and of ours what others may say there: broken, forged, with secrets in it. */
  async rumours(): Promise<void> {
    const m = () => this.secrets.mark("a message of others");
    const event = (name: string, payload: string) => JSON.stringify({ name, source: m(), payload, metadata: "{}" });
    const NAMES = ["session_terminated", "scheduling", "appproxy_circuit_created_event", "appproxy_circuit_removed_event", "appproxy_worker_circuit_added_event"]; // prettier-ignore
    const messages = NAMES.flatMap((name) => [
      event(name, `{"session_id": ${m()}}`),
      event(name, JSON.stringify({ session_id: m(), circuits: [{ id: m(), envs: { KEY: m() } }], mac: m() })),
      event(name, JSON.stringify({ target_worker_authority: "worker-port", circuits: [{ id: m() }], mac: m() })),
      event(`${name}_${m()}`, "{}"),
      `{"name": "${name}", ${m()}`,
      m(),
    ]);
    for (const message of messages)
      for (const channel of ["events_all", "events_all-appproxy"])
        await redisCall(this.services.redis.port, this.services.password, ["PUBLISH", channel, message]);
  }

  // --- internal ---

  /** A person's own. */
  #own(): string[] {
    const m = (place: string) => this.secrets.mark(`${place} on the way in`, { isUsers: true });
    return [`Cookie: sid=${m("a cookie")}`, `Referer: http://portal.example/a?token=${m("Referer")}#${m("Referer")}`, `User-Agent: me (${m("User-Agent")})`, `X-Api-Key: ${m("X-Api-Key")}`]; // prettier-ignore
  }

  async #openAll(): Promise<void> {
    const { port, workers, certificates: _ } = this.services;
    this.doors.push({ name: "the coordinator", kind: "coordinator", port, host: `127.0.0.1:${port}`, admits: [] });
    for (const { name, apiPort, tls } of Object.values(workers))
      this.doors.push({
        name: `${name}'s API`,
        kind: "api",
        port: apiPort,
        tls,
        host: `127.0.0.1:${apiPort}`,
        admits: [],
      });
    const app = (at: number) => this.apps[at]?.port ?? 0;
    const isPublic = { open_to_public: true };
    const envs = () => ({ envs: { API_KEY: this.secrets.mark("envs of a circuit") }, args: `--token=${this.secrets.mark("args of a circuit")}` }); // prettier-ignore
    await Promise.all([
      this.journey({ name: "an app", kind: "port", port: app(0), proxy: envs() }),
      this.journey({ name: "a public app", kind: "port", port: app(1), proxy: isPublic }),
      this.journey({ name: "an app with the original's permit", kind: "port", port: app(2), legacy: true }),
      this.journey({ name: "an app that is not there", kind: "port", port: 1, host: "127.77.0.1" }),
      this.journey({ name: "an app that breaks off", kind: "port", port: this.broken.port }),
      this.journey({ name: "an app that takes no connection", kind: "port", port: this.#hole.port }),
      this.journey({ name: "an app with a name", kind: "wildcard", port: app(3), proxy: envs() }),
      this.journey({ name: "a public app with a name", kind: "wildcard", port: app(4), proxy: isPublic }),
      this.journey({ name: "an app with a name that is not there", kind: "wildcard", port: 1, host: "127.77.0.2" }),
      this.journey({ name: "a TCP app", kind: "tcp", port: this.tcpApp.port }),
      this.#service("a model service", "port", app(5), false),
      this.#service("a public model service", "port", app(6), true),
      this.#service("a model service with a name", "wildcard", app(7), false),
      ...this.unwell.map(({ port: at }) =>
        this.#service("a model service that is unwell", "port", at, false, this.#check()),
      ),
    ]);
    await this.#apiTokens();
  }

  async #enter(wish: Wish, came: Came): Promise<void> {
    const { kind, name } = wish;
    const { apiPort, tls, trafficPort } = this.services.workers[kind];
    const api = { port: apiPort, tls };
    const link = { target: `/setup?token=${came.setupToken}`, host: `127.0.0.1:${apiPort}`, lines: this.#own() };
    const setup = await shoot({ ...api, bytes: written(link) });
    const [location = ""] = headersOf(setup, "location");
    if (!URL.canParse(location)) throw new Error(`${name}: /setup answered ${setup}`);
    const url = new URL(location);
    const at = { port: kind === "port" ? Number(url.port) : trafficPort, tls, host: url.host };
    const ticket = url.searchParams.get("t") ?? "";
    const entered = await shoot({ ...at, bytes: written({ target: url.pathname + url.search, host: url.host, lines: this.#own() }) }); // prettier-ignore
    const cookies = [...headersOf(setup, "set-cookie"), ...headersOf(entered, "set-cookie")].map((line) => line.split(";")[0] ?? ""); // prettier-ignore
    const lines = cookies.filter((one) => one.startsWith("appproxy_permit=") === (wish.legacy === true));
    for (const one of cookies) this.permits.push(this.secrets.real("a permit", one.slice(one.indexOf("=") + 1)));
    if (ticket !== "") this.tickets.push(this.secrets.real("a ticket", ticket.slice(ticket.lastIndexOf(".") + 1)) && ticket); // prettier-ignore
    const admits = lines.length === 0 ? [] : [`Cookie: ${lines.join("; ")}`];
    const door: Door = { name, kind: "app", ...at, admits, cookie: `appproxy_permit_${came.circuitId.slice(0, 8)}` };
    this.doors.push(door);
  }

  /** The address from which the link is used is let in. */
  async #knock({ name }: Wish, came: Came): Promise<void> {
    const { apiPort } = this.services.workers.tcp;
    const from = "127.7.0.1";
    const setup = await shoot({ port: apiPort, from, bytes: written({ target: `/setup?token=${came.setupToken}`, host: `127.0.0.1:${apiPort}` }) }); // prettier-ignore
    const port = Number(/tcp%3A%2F%2F[\d.]+%3A(\d+)/.exec(setup)?.[1]);
    if (!Number.isInteger(port)) throw new Error(`${name}: /setup answered ${setup}`);
    const door: Door = { name, kind: "tcp", port, host: `127.0.0.1:${port}`, admits: [], from };
    this.doors.push(door, { ...door, name: `${name}, from elsewhere`, from: "127.7.0.2" });
  }

  /** Of a service whose owner has put a key into the path. */
  #check(): object {
    const key = this.secrets.mark("health check of a circuit", { isUsers: true });
    return { enable: true, path: `/health?key=${key}`, interval: 1, max_retries: 0, initial_delay: 0 };
  }

  async #service(
    name: string,
    kind: Kind,
    port: number,
    isPublic: boolean,
    check: object | null = null,
  ): Promise<void> {
    const id = crypto.randomUUID();
    this.endpoints.push(id);
    const tags = { session: { user_uuid: USERS[kind], domain_name: "default" }, endpoint: { id } };
    const made = await this.call("POST", `/v2/endpoints/${id}`, { version: "v2", service_name: "llama", tags, open_to_public: isPublic, health_check: check }); // prettier-ignore
    const route = { session_id: crypto.randomUUID(), route_id: crypto.randomUUID(), kernel_host: "127.0.0.1", kernel_port: port }; // prettier-ignore
    await this.call("POST", "/v2/endpoints/bulk/routes", { endpoints: [{ deployment_id: id, routes: [route] }] });
    const minted = await this.call("POST", `/v2/endpoints/${id}/token`, { user_uuid: USERS[kind], exp: Math.floor(Date.now() / 1000) + 3600 }); // prettier-ignore
    const token = String(minted["token"]);
    this.secrets.real("a bearer token's signature", token.split(".")[2] ?? "");
    this.bearers.push(token);
    const url = new URL(String(made["endpoint"]));
    const worker = this.services.workers[kind];
    const at = { port: kind === "port" ? Number(url.port) : worker.trafficPort, tls: worker.tls, host: url.host };
    // Those that are unwell are there for their health checks.
    if (check === null) this.doors.push({ name, kind: "app", ...at, admits: [`Authorization: Bearer ${token}`] });
  }

  async #apiTokens(): Promise<void> {
    for (const key of ["secrets.api_secret", "secrets.jwt_secret"]) {
      const signer = new SignJWT({ sub: "somebody" }).setProtectedHeader({ alg: "HS256" }).setExpirationTime("1h");
      const jwt = await signer.sign(new TextEncoder().encode(this.services.secret(key)));
      this.secrets.real(`a JWT signed with ${key}`, jwt.split(".")[2] ?? "");
      this.apiTokens.push(jwt);
    }
  }
}

/** A name that is under the domain, and no circuit's. */
export const NOBODYS_NAME = `nobody${DOMAIN}`;
