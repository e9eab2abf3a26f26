/**
 * What a proxy holds for connections that take nothing, by the thousand, and what it keeps of them and of a hundred thousand
 * others when they have gone. Each proxy runs in a network of its own with small buffers (own-network.ts says why).
 */
import { CHURNS, type Churn } from "./load-churn.ts";
import { STALLS, type Stall } from "./load-stalled.ts";
import { isInstalled } from "./proxies.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { about } from "./stage.ts";
import { PROXIES, runStalled, type Proxy, type RunFigures, type RunOptions } from "./stalled-run.ts";
import { verdict } from "./verdict.ts";

type Amount = Omit<RunOptions, "proxy" | "seed">;

/** Rows are named by the full amount. */
const AMOUNT: Record<Size, Amount> = {
  full: { stalled: 1000, churned: { requests: 100_000, connections: 20_000, aborts: 200_000 }, patienceMs: 60_000 },
  smoke: { stalled: 10, churned: { requests: 200, connections: 100, aborts: 100 }, patienceMs: 1000 },
};
const LIMIT_MS = { full: 20 * 60_000, smoke: 90_000 } satisfies Record<Size, number>;
/** The worker with its default engine is called so in all tables. */
const COLUMN: Record<Proxy, string> = { serve: "worker", sockets: "sockets", haproxy: "haproxy" };
const KIB = 1024;
const MIB = 2 ** 20;

const STALLED: Record<Stall, string> = {
  readers: "slow reader of 100 MB",
  "client stalls": "WebSocket, client stalls",
  "app stalls": "WebSocket, app stalls",
};
const CHURNED: Record<Churn, string> = {
  requests: "100,000 requests",
  connections: "20,000 connections",
  aborts: "200,000 aborted requests",
};

/** Of a stalled connection, on raw sockets. */
const HELD_AIM = 300 * KIB;
/** What memory afterwards may differ by without anything being kept: a collector runs when it likes. */
const LEFT_AIM = 16 * MIB;

export async function benchStalled(size: Size): Promise<Sheet> {
  const columns = PROXIES.map((proxy) => COLUMN[proxy]);
  const sheet = new Sheet(columns, [
    ["worker", "haproxy"],
    ["sockets", "haproxy"],
  ]);
  for (const proxy of PROXIES) {
    if (proxy === "haproxy" && !isInstalled(proxy, size)) continue;
    const options: RunOptions = { ...AMOUNT[size], proxy, seed: 1 };
    note(sheet, COLUMN[proxy], await about(COLUMN[proxy], runStalled(options, LIMIT_MS[size])));
  }
  return sheet;
}

export function judgeStalled(sheet: Sheet): string {
  const held = STALLS.map((stall) => sheet.value(`${STALLED[stall]}, at most`, "sockets"));
  const left = [
    ...STALLS.map((stall) => sheet.value(`1,000 × ${STALLED[stall]}, left`, "sockets")),
    ...CHURNS.map((churn) => sheet.value(`${CHURNED[churn]}, left`, "sockets")),
  ];
  const told = (values: number[]) => values.map((one) => one.toFixed(0)).join(", ");
  return [
    verdict("at most 300 KiB for a stalled connection on raw sockets", held.every((one) => one * KIB <= HELD_AIM), `${told(held)} KiB`),
    verdict("nothing is kept on raw sockets", left.every((one) => one * MIB <= LEFT_AIM), `${told(left)} MiB`),
  ].join("\n"); // prettier-ignore
}

// --- internal ---

function note(sheet: Sheet, column: string, { stalls, churns }: RunFigures): void {
  for (const stall of STALLS) {
    const { most, held, left, files } = stalls[stall];
    sheet.add(`${STALLED[stall]}, at most`, "KiB", column, most / KIB);
    sheet.add(`${STALLED[stall]}, at rest`, "KiB", column, held / KIB);
    sheet.add(`1,000 × ${STALLED[stall]}, left`, "MiB", column, left / MIB);
    sheet.add(`1,000 × ${STALLED[stall]}, left open`, "files", column, files);
  }
  for (const churn of CHURNS) {
    const { grown, files, seconds } = churns[churn];
    sheet.add(`${CHURNED[churn]}, left`, "MiB", column, grown / MIB);
    sheet.add(`${CHURNED[churn]}, left open`, "files", column, files);
    sheet.add(CHURNED[churn], "s", column, seconds);
  }
}
