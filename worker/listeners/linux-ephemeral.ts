/**
 * Whether the kernel may give ports of the worker's range to others' outgoing connections: then they can't be opened for
 * circuits, now this one and now that one. Said at the start and by `--check`; Linux only.
 */
import { readFileSync } from "node:fs";

type Range = readonly [first: number, last: number];

/** What has to be known of a worker's own configuration. */
interface OwnPorts {
  frontend_mode: "port" | "wildcard";
  port_proxy: { bind_port_range: Range | null };
}

/** What to do about it; null where there is nothing to say. `read` gives a file of the kernel, or null. */
export function ephemeralWarning(
  { frontend_mode: mode, port_proxy: ports }: OwnPorts,
  read: (path: string) => string | null = readOrNull,
): string | null {
  const range = ports.bind_port_range;
  const [low, high] = (read(RANGE_FILE) ?? "").trim().split(/\s+/).map(Number);
  if (mode !== "port" || range === null || low === undefined || high === undefined) return null;
  const [first, last] = [Math.max(range[0], low), Math.min(range[1], high)];
  if (!(first <= last)) return null;
  const reserved = rangesOf(read(RESERVED_FILE) ?? "");
  const open = Array.from({ length: last - first + 1 }, (_, at) => first + at).some(
    (port) => !reserved.some(([from, to]) => from <= port && port <= to),
  );
  if (!open) return null;
  return (
    `Ports ${first}-${last} of proxy_worker.port_proxy.bind_port_range lie in the kernel's ephemeral range ${low}-${high}: ` +
    `outgoing connections take them from circuits. Reserve them: sysctl -w net.ipv4.ip_local_reserved_ports=${first}-${last}, ` +
    "or choose another range"
  );
}

// --- internal ---

const RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range";
/** Such as `8080,9000-9010`. */
const RESERVED_FILE = "/proc/sys/net/ipv4/ip_local_reserved_ports";

function rangesOf(text: string): Range[] {
  return text
    .trim()
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const [from = Number.NaN, to = from] = part.split("-").map(Number);
      return [from, to];
    });
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return null; // no Linux, or hidden from this container
  }
}
