/**
 * Certificates from files, and a check whether they have changed (dataplane F3). Polled: what renews certificates
 * (certbot, Kubernetes) replaces files and links in ways that watching a path misses.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { reason } from "../failure.ts";
import type { Log } from "./log.ts";

/** PEM texts. */
export interface TlsPair {
  cert: string;
  key: string;
}

export interface TlsPaths {
  cert: string;
  key: string;
}

const POLL_EVERY_MS = 500;

/** Reads a certificate and its key. Throws when a file can't be read or the two don't belong together. */
export function readTls(paths: TlsPaths): TlsPair {
  const pair = read(paths);
  check(pair);
  return pair;
}

/** Tells of every new good pair. A bad one is logged once and the old one stays. Gives what ends it. */
export function watchTls(paths: TlsPaths, first: TlsPair, log: Log, renewed: (pair: TlsPair) => void): () => void {
  let used = first;
  let trouble = "";
  const poll = () => {
    const about = { cert: paths.cert, key: paths.key };
    try {
      const pair = read(paths);
      if (!isSame(pair, used)) {
        check(pair);
        renewed(pair);
        used = pair;
        log.info({ ...about, valid_to: new X509Certificate(pair.cert).validTo }, "certificate renewed");
      }
      trouble = "";
    } catch (error) {
      // Between two writes the files may not fit: the next poll reads them again.
      if (trouble === reason(error)) return;
      trouble = reason(error);
      log.warn(
        { ...about, reason: trouble },
        "the certificate files have changed and can't be used; the old ones stay",
      );
    }
  };
  const timer = setInterval(poll, POLL_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

// --- internal ---

function read({ cert, key }: TlsPaths): TlsPair {
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}

function isSame(one: TlsPair, other: TlsPair): boolean {
  return one.cert === other.cert && one.key === other.key;
}

function check({ cert, key }: TlsPair): void {
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
    throw new Error("the private key is not the certificate's");
}
