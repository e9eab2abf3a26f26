/** A Redis that speaks TLS, with users of its own: its authority, its certificate and ours, made with openssl. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.ts";
import { startRedis, type RedisServer } from "./redis.ts";

export interface Authority {
  /** The file of its certificate. */
  ca: string;
  /** Signs a certificate for this name; gives the files. */
  issue(name: string): { cert: string; key: string };
}

export interface TlsRedis {
  authority: Authority;
  /** Where it speaks TLS. */
  port: number;
  /** Where it speaks without, for the test itself. */
  plain: RedisServer;
  /** The arguments with which a server or Sentinel speaks TLS with the same certificate. */
  tlsArguments: string[];
  /** For another authority's files, and what else the test writes. */
  directory: string;
  stop(): Promise<void>;
}

export const SERVER_NAME = "redis.example";

/** `acl`: its users, as lines of an ACL file. `wantsCertificate`: clients have to show one of the authority. */
export async function startTlsRedis({
  acl = [],
  wantsCertificate = false,
}: { acl?: readonly string[]; wantsCertificate?: boolean } = {}): Promise<TlsRedis> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-redis-tls-"));
  const authority = makeAuthority(directory, "ours");
  const { cert, key } = authority.issue(SERVER_NAME);
  const users = join(directory, "users.acl");
  writeFileSync(users, acl.map((line) => `${line}\n`).join(""));
  const files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", authority.ca];
  const tlsArguments = [...files, "--tls-auth-clients", wantsCertificate ? "yes" : "optional"];
  const port = await freePort();
  const plain = await startRedis([
    ...tlsArguments,
    "--tls-port",
    String(port),
    ...(acl.length === 0 ? [] : ["--aclfile", users]),
  ]);
  return {
    authority,
    port,
    plain,
    tlsArguments,
    directory,
    async stop() {
      await plain.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** An authority whose files lie in a folder under this name. */
export function makeAuthority(directory: string, name: string): Authority {
  const at = (file: string) => join(directory, `${name}-${file}`);
  const ca = at("ca.pem");
  openssl("req", "-x509", ...NEW_KEY, "-days", "365", "-subj", `/CN=${name}`, "-keyout", at("ca.key"), "-out", ca);
  return {
    ca,
    issue(host) {
      const [cert, key, request, extension] = ["pem", "key", "csr", "ext"].map((end) => at(`${host}.${end}`));
      writeFileSync(String(extension), `subjectAltName=DNS:${host}\n`);
      openssl("req", ...NEW_KEY, "-subj", `/CN=${host}`, "-keyout", String(key), "-out", String(request));
      openssl("x509", "-req", "-in", String(request), "-CA", ca, "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "365", "-extfile", String(extension), "-out", String(cert)); // prettier-ignore
      return { cert: String(cert), key: String(key) };
    },
  };
}

// --- internal ---

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

function openssl(...args: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`openssl ${args[0]}: ${stderr.toString()}`);
}
