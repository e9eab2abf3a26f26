/** OpenSSH with keys, configuration and port of its own, and the `ssh` and `scp` commands that speak to it. */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../ports.ts";
import { listens, startProgram } from "./program.ts";

const SSHD = "/usr/sbin/sshd";

/** Where sshd locks its unprivileged half in when root starts it. It exists only while Debian's own service runs. */
const PRIVILEGE_SEPARATION = "/run/sshd";

export interface Sshd {
  port: number;
  /** To 127.0.0.1, or another of this machine's addresses. */
  ssh(port: number, command: string, host?: string): Promise<Ran>;
  /** A path on the other side starts with a colon. */
  scp(port: number, from: string, to: string): Promise<Ran>;
}

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** Files are kept in `directory`; calls `defer` with what has to be undone. */
export async function startSshd(directory: string, defer: (step: () => Promise<void> | void) => void): Promise<Sshd> {
  const port = await freePort();
  const [hostKey, userKey, config] = [join(directory, "host_key"), join(directory, "user_key"), join(directory, "sshd_config")]; // prettier-ignore
  for (const key of [hostKey, userKey]) await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
  writeFileSync(config, sshdConfig(port, directory, hostKey, `${userKey}.pub`));
  if (process.getuid?.() === 0 && !existsSync(PRIVILEGE_SEPARATION)) {
    mkdirSync(PRIVILEGE_SEPARATION, { mode: 0o755 });
    defer(() => rmdirSync(PRIVILEGE_SEPARATION));
  }
  const program = startProgram([SSHD, "-D", "-e", "-f", config]);
  defer(program.stop);
  await listens(program, port);

  const options = clientOptions(userKey);
  const path = (name: string) => (name.startsWith(":") ? `127.0.0.1${name}` : name);
  return {
    port,
    ssh: (to, command, host = "127.0.0.1") => run(["ssh", "-p", String(to), ...options, host, command]),
    scp: (to, from, into) => run(["scp", "-q", "-P", String(to), ...options, path(from), path(into)]),
  };
}

// --- internal ---

function sshdConfig(port: number, directory: string, hostKey: string, authorized: string): string {
  return [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${hostKey}`,
    `AuthorizedKeysFile ${authorized}`,
    // The directory for temporary files is everybody's.
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "PermitRootLogin prohibit-password",
    "PidFile none",
    "Subsystem sftp internal-sftp",
    // The login shell of the person who runs the tests has start-up files, which may do anything: it finds none of them in
    // this home. Bash reads ~/.bashrc for each command that sshd runs, zsh ~/.zshenv, fish its configuration.
    `SetEnv HOME="${directory}"`,
    "PermitUserRC no",
    "",
  ].join("\n");
}

/** No file of the person who runs the tests is read or written. */
function clientOptions(key: string): string[] {
  const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "IdentitiesOnly=yes", "ConnectTimeout=10", "LogLevel=ERROR"]; // prettier-ignore
  return ["-F", "none", "-i", key, ...options.flatMap((option) => ["-o", option])];
}

async function must(command: string[]): Promise<void> {
  const { code, stderr } = await run(command);
  if (code !== 0) throw new Error(`${command[0]} ended with ${code}: ${stderr}`);
}

/** Ends by itself or after ten minutes. */
async function run(command: string[]): Promise<Ran> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 600_000 });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, stdout, stderr };
}
