/** slowhttptest (a Debian package), which holds connections open in four ways, and how many of them it had. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Slow heads, slow bodies, slow readers, and requests for very many ranges at once. */
export const MODES = {
  heads: ["-H", "-t", "GET"],
  bodies: ["-B", "-t", "POST", "-s", "65536"],
  readers: ["-X", "-n", "1", "-w", "1", "-y", "512", "-z", "5"],
  ranges: ["-R", "-t", "HEAD", "-a", "5", "-b", "2000"],
} satisfies Record<string, readonly string[]>;
export type Mode = keyof typeof MODES;

/** Null where it is there. */
export function whyNoSlowhttptest(): string | null {
  return Bun.which("slowhttptest") === null ? "slowhttptest is not installed (Debian: slowhttptest)" : null;
}

/** Runs it for some seconds; gives how many connections it had made by then, those that were closed among them. */
export async function slowhttptest(mode: Mode, url: string, connections: number, seconds: number): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-slow-"));
  try {
    const pace = ["-c", String(connections), "-r", String(connections), "-i", "1", "-l", String(seconds), "-p", "5"];
    const report = join(directory, "report");
    const program = Bun.spawn(["slowhttptest", ...MODES[mode], ...pace, "-x", "24", "-u", url, "-g", "-o", report], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
    });
    const code = await program.exited;
    if (code !== 0) throw new Error(`slowhttptest ended with ${code}`);
    return most(readFileSync(`${report}.csv`, "utf8"));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

// --- internal ---

/** A row a second: `Seconds,Closed,Pending,Connected,Service Available`. */
function most(csv: string): number {
  const [head = "", ...rows] = csv.trim().split("\n");
  const names = head.split(",");
  const [closed, connected] = [names.indexOf("Closed"), names.indexOf("Connected")];
  if (closed === -1 || connected === -1) throw new Error(`slowhttptest wrote another report: ${head}`);
  return Math.max(...rows.map((row) => Number(row.split(",")[closed]) + Number(row.split(",")[connected])));
}
