/** What may be said of Redis: TLS with its files, users, and the names that the platform has for it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { coordinatorWarnings } from "../../../coordinator/config.ts";
import { workerWarnings } from "../../../worker/config.ts";
import { startCertificates, type Certificates } from "../../support/certificates.ts";
import { configError, coordinatorConfig, workerConfig } from "../../support/values.ts";

const directory = mkdtempSync(join(tmpdir(), "app-proxy-redis-config-"));
let files: Certificates;
beforeAll(() => {
  files = startCertificates("redis");
});
afterAll(() => {
  files.remove();
  rmSync(directory, { recursive: true, force: true });
});

const SECTIONS = [
  ["redis", coordinatorConfig],
  ["core_redis", coordinatorConfig],
  ["redis", workerConfig],
] as const;

test("nothing of it is needed", () => {
  expect(workerConfig("").values.redis).toMatchObject({
    tls: false,
    use_tls: false,
    username: "",
    sentinel_password: "",
  });
});

test("keys may be as the platform writes them", () => {
  const toml = '[redis]\nuse-tls = true\ntls-skip-verify = true\nsentinel-password = "p"\n';
  const { values, ignored } = coordinatorConfig(toml);
  expect([values.redis, ignored]).toMatchObject([{ use_tls: true, tls_skip_verify: true, sentinel_password: "p" }, []]);
});

test("who has given a file or a name is not connected without TLS", () => {
  for (const [section, load] of SECTIONS)
    for (const key of ["tls_ca", "tls_server_name", "tls_cert", "tls_privkey"])
      expect(configError(() => load(`[${section}]\n${key} = "x"`)).faults).toEqual([
        { key: `${section}.${key}`, message: `was given without TLS; wanted ${section}.tls = true with it` },
      ]);
});

test("files are read at start, and told of when they can't be used", () => {
  const junk = join(directory, "junk.pem");
  writeFileSync(junk, "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
  for (const [section, load] of SECTIONS)
    for (const file of [join(directory, "none.pem"), junk]) {
      const lines = ["tls = true", `tls_ca = "${file}"`, `tls_cert = "${file}"`, `tls_privkey = "${file}"`];
      const { faults } = configError(() => load([`[${section}]`, ...lines].join("\n")));
      expect(faults.map(({ key }) => key)).toEqual(["ca", "cert", "privkey"].map((one) => `${section}.tls_${one}`));
      for (const { message } of faults) expect(message).toStartWith(`"${file}" was given; wanted a file in PEM: `);
    }
});

test("a certificate and its key come together", () => {
  for (const [section, load] of SECTIONS) {
    const faults = (line: string) => configError(() => load(`[${section}]\nuse_tls = true\n${line}`)).faults;
    expect(faults(`tls_cert = "${files.cert}"`)).toEqual([{ key: `${section}.tls_privkey`, message: "is missing; wanted the key of tls_cert" }]); // prettier-ignore
    expect(faults(`tls_privkey = "${files.key}"`)).toEqual([{ key: `${section}.tls_cert`, message: "is missing; wanted the certificate of tls_privkey" }]); // prettier-ignore
    expect(load(`[${section}]\ntls = true\ntls_ca = "${files.cert}"\ntls_cert = "${files.cert}"\ntls_privkey = "${files.key}"`).ignored).toEqual([]); // prettier-ignore
  }
});

test("certificates that nobody looks at are warned of", () => {
  const line = (section: string) => `${section}.tls_skip_verify: any certificate is taken, so who is between here and Redis can read and write everything`; // prettier-ignore
  const careless = (section: string) => `[${section}]\ntls = true\ntls_skip_verify = true\n`;
  const both = coordinatorConfig(careless("redis") + careless("core_redis")).values;
  expect(coordinatorWarnings(both)).toEqual([line("redis"), line("core_redis")]);
  expect(workerWarnings(workerConfig(careless("redis")).values)).toEqual([line("redis")]);
  expect(workerWarnings(workerConfig("[redis]\ntls_skip_verify = true").values)).toEqual([]);
});

test("passwords are never shown", () => {
  const { faults } = configError(() => workerConfig("[redis]\npassword = 135792468\nsentinel_password = 135792468"));
  expect(faults.map(({ message }) => message)).toEqual(["[secret] was given; wanted text", "[secret] was given; wanted text"]); // prettier-ignore
});
