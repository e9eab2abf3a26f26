/** The sections that say where Redis is, who we are there, and how the connection is kept from others; and what can be wrong with them. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { reason } from "../failure.ts";
import * as f from "./fields.ts";
import type { Fault } from "./load.ts";

export const redisSection = {
  addr: f.address("127.0.0.1:6379", "Redis by address"),
  sentinel: f.optionalAddresses("Redis by Sentinel; takes precedence over `addr`"),
  service_name: f.text("mymaster", "Name of the master that Sentinel watches"),
  username: f.text("", "ACL user of Redis ([docs/redis.md](docs/redis.md) has its rights); default: the default user"),
  password: { ...f.text("", "Password of Redis and, unless it has one of its own, of Sentinel"), secret: true },
  sentinel_username: f.text("", "ACL user of Sentinel; default: its default user"),
  sentinel_password: { ...f.text("", "Password of Sentinel; default: `password`"), secret: true },
  tls: f.flag(false, "Speak TLS with Redis and with Sentinel"),
  use_tls: f.flag(false, "The same, as the platform's other services call it"),
  tls_ca: f.optionalText("File of the certificate authorities (PEM) for Redis; default: the public ones"),
  tls_server_name: f.optionalText(
    "Name that the certificates of Redis have to be for; default: the host of each address",
  ),
  tls_cert: f.optionalText("File of our certificate (PEM), where Redis wants one"),
  tls_privkey: f.optionalText("File of its private key (PEM)"),
  tls_skip_verify: f.flag(
    false,
    "Take any certificate: for tries alone, as who is in between reads and writes everything",
  ),
};

/** Of the platform's own Redis, where it is another one. Without `addr` and `sentinel` it is the one of `[redis]`. */
export const coreRedisSection = {
  ...redisSection,
  addr: f.optionalAddress("The platform's Redis, whose events tell of sessions that end; default: that of `[redis]`"),
  sentinel: f.optionalAddresses("The same by Sentinel; takes precedence over `addr`"),
};

interface TlsSettings {
  tls: boolean;
  use_tls: boolean;
  tls_ca: string | null;
  tls_server_name: string | null;
  tls_cert: string | null;
  tls_privkey: string | null;
  tls_skip_verify: boolean;
}

/** What is wrong with a section, `name`: keys that contradict each other, and files that can't be used. */
export function redisFaults(name: string, section: TlsSettings): Fault[] {
  const { tls_ca: ca, tls_cert: cert, tls_privkey: key } = section;
  const fault = (of: keyof TlsSettings, message: string): Fault => ({ key: `${name}.${of}`, message });
  if (!section.tls && !section.use_tls) {
    const needless = (["tls_ca", "tls_server_name", "tls_cert", "tls_privkey"] as const).filter(
      (of) => section[of] !== null,
    );
    // Who has given one of them must not be connected without it.
    return needless.map((of) => fault(of, `was given without TLS; wanted ${name}.tls = true with it`));
  }
  return [
    ...(cert !== null && key === null ? [fault("tls_privkey", "is missing; wanted the key of tls_cert")] : []),
    ...(cert === null && key !== null ? [fault("tls_cert", "is missing; wanted the certificate of tls_privkey")] : []),
    ...unusable(ca, (text) => new X509Certificate(text)).map((message) => fault("tls_ca", message)),
    ...unusable(cert, (text) => new X509Certificate(text)).map((message) => fault("tls_cert", message)),
    ...unusable(key, (text) => createPrivateKey(text)).map((message) => fault("tls_privkey", message)),
  ];
}

/** What is told of a section at start, and stops nothing. */
export function redisWarnings(name: string, { tls, use_tls: also, tls_skip_verify: skips }: TlsSettings): string[] {
  return (tls || also) && skips
    ? [
        `${name}.tls_skip_verify: any certificate is taken, so who is between here and Redis can read and write everything`,
      ]
    : [];
}

// --- internal ---

function unusable(file: string | null, read: (text: string) => unknown): string[] {
  if (file === null) return [];
  try {
    read(readFileSync(file, "utf8"));
    return [];
  } catch (error) {
    return [`"${file}" was given; wanted a file in PEM: ${reason(error)}`];
  }
}
