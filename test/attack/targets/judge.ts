/** What the coordinator says of each row: at `/v2/conf` and at both calls about routes. */
import { startCluster } from "../../support/cluster.ts";
import { confBody, type Manager } from "../../support/manager.ts";
import { service } from "../../support/model-service.ts";
import { inTurns } from "./in-turns.ts";
import { ROWS, type TargetRow } from "./rows.ts";

/** Whether it was taken, and why not. */
export interface Judged {
  conf: [status: number, why: string];
  replaced: [taken: boolean, why: string];
  registered: [taken: boolean, why: string];
  /** Where `kernel_host_cidrs` has all addresses. */
  wide: number;
}

export interface Judgements {
  /** In the rows' order. */
  rows: Judged[];
  /** Of a name that turns bad as soon as it has been asked for. */
  turning: number;
}

export async function judgeAll(): Promise<Judgements> {
  const cluster = await startCluster({ ports: 16 });
  const wide = await startCluster({ coordinator: { kernel_host_cidrs: ["0.0.0.0/0", "::/0"] } });
  const { manager, worker, ports, coordinator } = cluster;
  const own = { coordinator: Number(new URL(coordinator.baseUrl).port), worker: worker.apiPort, circuit: ports[0] + 3, redis: 6379 }; // prettier-ignore
  const endpoint = crypto.randomUUID();
  await manager.api("POST", "/v2/endpoints/bulk", { endpoints: [{ deployment_id: endpoint, ...service() }] });
  const judge = async ({ host, port }: Pick<TargetRow, "host" | "port">): Promise<Judged> => {
    const at = port === undefined ? 8888 : own[port];
    return {
      conf: await conf(manager, host, at),
      replaced: await routes(manager, "/v2/endpoints/bulk/routes", endpoint, host, at),
      registered: await routes(manager, "/v2/endpoints/bulk/routes/register", endpoint, host, at),
      wide: (await conf(wide.manager, host, at))[0],
    };
  };
  const rows = await inTurns(ROWS, judge);
  const [turning] = await conf(manager, "turn.test", 8888);
  await Promise.all([cluster.stop(), wide.stop()]);
  return { rows, turning };
}

// --- internal ---

async function conf(manager: Manager, kernel_host: string, kernel_port: number): Promise<Judged["conf"]> {
  const { status, body } = await manager.call("POST", "/v2/conf", { ...confBody({ kernel_port }), kernel_host });
  return [status, JSON.stringify(body["msg"] ?? "")];
}

async function routes(
  manager: Manager,
  path: string,
  deployment_id: string,
  kernel_host: string,
  kernel_port: number,
): Promise<[boolean, string]> {
  const entry = { route_id: crypto.randomUUID(), session_id: crypto.randomUUID(), kernel_host, kernel_port };
  const { body } = await manager.api("POST", path, { endpoints: [{ deployment_id, routes: [entry] }] });
  const [said] = body["endpoints"] as { success: boolean; error: string | null }[];
  return [said?.success === true, said?.error ?? ""];
}
