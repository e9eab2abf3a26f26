/**
 * A network of its own for a program: its loopback, ports and connections are nobody else's, and the kernel's buffers of each
 * connection are small. Left alone they take 9 MB of a connection that stalls behind a proxy, and all connections of a
 * machine share what tcp(7) calls `tcp_mem`: 200 such connections used it up, and the others' traffic stood still.
 */

/** Least, usual and most bytes of a connection: a worker still finds reads of hundreds of KiB. */
const BUFFERS = { tcp_rmem: "4096 131072 524288", tcp_wmem: "4096 16384 262144" };

/** The command that runs `command` so. Throws where no network can be made. */
export function inOwnNetwork(command: readonly string[]): string[] {
  const settings = Object.entries(BUFFERS).map(([name, value]) => `echo "${value}" > /proc/sys/net/ipv4/${name}`);
  return alone([], settings, command);
}

/**
 * The command that runs `command` in a network whose every address is this machine's own, and where names are asked of the
 * servers in the file `resolvers` (resolv.conf(5)). Whatever a program dials there, it reaches who listens on all addresses.
 */
export function inOwnInternet(command: readonly string[], resolvers: string): string[] {
  const settings = [
    "ip route add local 0.0.0.0/0 dev lo",
    "ip -6 route add local ::/0 dev lo",
    `mount --bind '${resolvers}' /etc/resolv.conf`,
  ];
  return alone(["--mount"], settings, command);
}

/**
 * Runs a program of ours in such a network; it is told `options` as JSON, and writes what it found as JSON. Rejects when it fails, or
 * takes longer than `ms`; `name` is for the message.
 */
export async function foundInOwnNetwork(program: string, options: unknown, ms: number, name: string): Promise<unknown> {
  const child = Bun.spawn(inOwnNetwork([process.execPath, program, JSON.stringify(options)]), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: ms,
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  if (code !== 0) throw new Error(`${name} ended with ${code} (limit ${ms} ms): ${err.slice(-3000)}`);
  return JSON.parse(out);
}

/** Null where it can be made. */
export function whyNoOwnNetwork(): string | null {
  const missing = ["unshare", "ip"].filter((program) => Bun.which(program) === null);
  if (missing.length > 0) return `A network of its own needs ${missing.join(", ")} (Debian: util-linux, iproute2)`;
  const { exitCode, stderr } = Bun.spawnSync([...unshare(), "true"]);
  return exitCode === 0 ? null : `A network of its own can't be made here: ${stderr.toString().trim()}`;
}

// --- internal ---

function alone(more: readonly string[], settings: readonly string[], command: readonly string[]): string[] {
  const why = whyNoOwnNetwork();
  if (why !== null) throw new Error(why);
  const script = ["ip link set lo up", ...settings, 'exec "$@"'].join(" && ");
  return [...unshare(), ...more, "sh", "-c", script, "sh", ...command];
}

/** Others than root are root of a user namespace of their own (user_namespaces(7)), where the system allows it. */
function unshare(): string[] {
  return ["unshare", ...(process.getuid?.() === 0 ? [] : ["--map-root-user"]), "--net"];
}
