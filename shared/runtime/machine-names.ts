/** The names of this machine, under which callers on it may reach its services. Read once, when a service is put together. */
import { readFileSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { isLoopback } from "../http/addresses.ts";

/** The machine's own name, and what /etc/hosts calls its addresses: Debian has the full name at 127.0.1.1. */
export function machineNames(): string[] {
  const own = new Set(Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)));
  return [hostname(), ...namesIn(hostsFile(), (address) => isLoopback(address) || own.has(address))];
}

/** The names that a text in the form of /etc/hosts gives to addresses of ours. */
export function namesIn(hosts: string, isOurs: (address: string) => boolean): string[] {
  return hosts.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    return isOurs(address) ? names : [];
  });
}

// --- internal ---

function hostsFile(): string {
  try {
    return readFileSync("/etc/hosts", "utf8");
  } catch {
    return ""; // another system
  }
}
