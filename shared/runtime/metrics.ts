/** Figures for Prometheus: a registry a service, with what every process tells of itself. Who may read them is decided here too. */
import { readdirSync } from "node:fs";
import { AggregatorRegistry, Counter, Gauge, Registry } from "prom-client";
import type { AddressMatcher } from "../http/addresses.ts";
import { mustNameUs, type Caller, type OwnHosts } from "../http/own-hosts.ts";
import { Failure } from "../failure.ts";
import { VERSION } from "./version.ts";

/** A registry with the process's own figures. prom-client's defaults read parts of Node that Bun has not. */
export function createRegistry(component: string): Registry {
  const registry = new Registry();
  const started = Date.now() / 1000;
  gauge(registry, "process_start_time_seconds", "When the process started.", () => started);
  gauge(registry, "process_resident_memory_bytes", "Memory of the process.", () => process.memoryUsage.rss());
  gauge(registry, "process_open_fds", "Open files and sockets.", countOpenFiles);
  counter(registry, "process_cpu_seconds_total", "CPU time used.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000_000;
  });
  new Gauge({
    name: "appproxy_info",
    help: "What runs.",
    labelNames: ["component", "version"],
    registers: [registry],
  }).set({ component, version: VERSION }, 1);
  return registry;
}

/** A figure that is read when it is asked for. */
export function gauge(registry: Registry, name: string, help: string, read: () => number | Promise<number>): void {
  const made = new Gauge({
    name,
    help,
    registers: [],
    async collect() {
      this.set(await read());
    },
  });
  registry.registerMetric(made);
}

/** A figure that only grows, counted elsewhere. */
export function counter(registry: Registry, name: string, help: string, read: () => number): void {
  const made = new Counter({
    name,
    help,
    registers: [],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
  registry.registerMetric(made);
}

/** Figures by one label that only grow, counted elsewhere. */
export function counters(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  read: () => Record<string, number>,
): void {
  const made = new Counter({
    name,
    help,
    labelNames: [label],
    registers: [],
    collect() {
      this.reset();
      for (const [value, figure] of Object.entries(read())) this.inc({ [label]: value }, figure);
    },
  });
  registry.registerMetric(made);
}

/** Figures by one label, read when they are asked for. */
export function gauges(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  read: () => Record<string, number> | Promise<Record<string, number>>,
): void {
  const made = new Gauge({
    name,
    help,
    labelNames: [label],
    registers: [],
    async collect() {
      const figures = await read();
      this.reset();
      for (const [value, figure] of Object.entries(figures)) this.set({ [label]: value }, figure);
    },
  });
  registry.registerMetric(made);
}

/** Who may read the figures, and what such a reader may call the service. */
export interface Readers {
  allowed: AddressMatcher;
  hosts: OwnHosts;
}

/**
 * The text for a reader, with what `others` gives in the registry's place. Rejects with generic-forbidden for one whose address
 * is not allowed, or with misdirected-request.
 */
export async function metricsAnswer(
  registry: Registry,
  caller: Caller,
  { allowed, hosts }: Readers,
  others: () => Promise<Registry | null> = () => Promise.resolve(null),
): Promise<Response> {
  if (caller.peer === null || !allowed(caller.peer))
    throw new Failure("generic-forbidden", "metric_access_allowed_hosts does not name this address");
  mustNameUs(caller, hosts);
  const told = (await others()) ?? registry;
  return new Response(await told.metrics(), { headers: { "Content-Type": registry.contentType } });
}

/** The figures of several processes, each with a label of its own, as one registry; null when there are none. */
export function together(figures: readonly (readonly object[])[]): Registry | null {
  return figures.length === 0 ? null : AggregatorRegistry.aggregate([...figures]);
}

// --- internal ---

/** Linux tells; elsewhere it is not known. */
function countOpenFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return Number.NaN;
  }
}
