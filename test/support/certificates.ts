/** Certificates for tests, made with openssl in a directory of their own. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificates {
  /** The files that a service is told of. */
  cert: string;
  key: string;
  /** Makes a pair and puts it into the files; gives the texts. */
  issue(name: string): { cert: string; key: string };
  /** Writes anything into the files. */
  write(pair: { cert?: string; key?: string }): void;
  remove(): void;
}

/** The files hold a certificate for `name` at first. */
export function startCertificates(name: string): Certificates {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-tls-"));
  const paths = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  const certificates: Certificates = {
    ...paths,
    issue(common) {
      const made = make(directory, common);
      certificates.write(made);
      return made;
    },
    write({ cert, key }) {
      if (key !== undefined) writeFileSync(paths.key, key);
      if (cert !== undefined) writeFileSync(paths.cert, cert);
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
  certificates.issue(name);
  return certificates;
}

// --- internal ---

/** Self-signed for a year. Elliptic: an RSA key takes its time. */
function make(directory: string, name: string): { cert: string; key: string } {
  const [cert, key] = [join(directory, "new-cert.pem"), join(directory, "new-key.pem")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
  const { exitCode, stderr } = Bun.spawnSync(
    ["openssl", "req", "-x509", ...curve, "-days", "365", ...subject, "-keyout", key, "-out", cert],
    { stdout: "ignore", stderr: "pipe" },
  );
  if (exitCode !== 0) throw new Error(`openssl: ${stderr.toString()}`);
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}
