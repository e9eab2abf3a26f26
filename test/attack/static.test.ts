/**
 * What is known without running anything: no tracked file holds a secret, no package that runs has a known flaw or a licence that
 * binds, and the bill of materials tells of all of them.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { auditOf, type Advisory } from "../../scripts/dev/packages/audit.ts";
import { bomText } from "../../scripts/dev/packages/bom.ts";
import { licenceOf } from "../../scripts/dev/packages/licences.ts";
import { readLockfile, type Package } from "../../scripts/dev/packages/lockfile.ts";
import { secretsIn } from "../../scripts/dev/secret-scan.ts";
import { ROOT } from "../support/spawned.ts";
import { CHECKSUMS, KNOWN_VALUES, PERMISSIVE } from "./static/allowed.ts";
import { bomFaults, type Bom } from "./static/cyclonedx.ts";

const LIMIT_MS = 120_000;
const read = (file: string) => readFileSync(join(ROOT, file), "utf8");
const lockfile = readLockfile(read("bun.lock"));
const runtime = lockfile.packages.filter(({ isRuntime }) => isRuntime);
/** Of what is passed on with the repository there is no package. */
const foreign = (one: Package) => one.folder === null;

describe("secrets", () => {
  /** All files that git tracks; of a copy without its history all that would be. */
  function tracked(): string[] {
    const { exitCode, stdout } = Bun.spawnSync(["git", "ls-files", "-z"], { cwd: ROOT, stderr: "ignore" });
    const files =
      exitCode === 0 ? stdout.toString().split("\0") : [...new Bun.Glob("**/*").scanSync({ cwd: ROOT, dot: true })];
    return files.filter((file) => file !== "" && !/(^|\/)(node_modules|artefacts|\.git)\//.test(file)).filter((file) => Bun.file(join(ROOT, file)).size > 0); // prettier-ignore
  }

  const found = (file: string, text: string) =>
    secretsIn(text, CHECKSUMS.filter(({ files }) => files.test(file)).map(({ form }) => form)).map((one) => ({ file, ...one })); // prettier-ignore
  const isKnown = ({ file, text }: { file: string; text: string }) =>
    KNOWN_VALUES.some(({ begins, files }) => files.test(file) && text.startsWith(begins)) ||
    (file === "test/attack/static/allowed.ts" && KNOWN_VALUES.some(({ begins }) => text.startsWith(begins)));

  test("no tracked file holds one, and each value that is let pass is there", () => {
    const files = tracked();
    expect(files.length).toBeGreaterThan(800);
    const all = files.flatMap((file) => found(file, read(file)));
    expect(all.filter((one) => !isKnown(one)).map(({ file, line, what }) => `${file}:${line}: ${what}`)).toEqual([]);
    const elsewhere = all.filter(({ file }) => !file.startsWith("test/attack/static/"));
    const idle = KNOWN_VALUES.filter(({ begins }) => !elsewhere.some(({ text }) => text.startsWith(begins)));
    expect(idle).toEqual([]);
  });

  /** Characters that nobody has chosen. */
  const random = (alphabet: string, length: number) =>
    Array.from(crypto.getRandomValues(new Uint32Array(length)), (one) => alphabet[one % alphabet.length]).join("");
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  const UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  const begin = (kind: string) => `-----BEGIN ${kind}`;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

  test.each<[string, () => string]>([
    ["a private key", () => `${begin("PRIVATE KEY")}-----`],
    ["a private key", () => `${begin("OPENSSH PRIVATE KEY")}-----`],
    ["a private key", () => `${begin("PGP PRIVATE KEY BLOCK")}-----`],
    ["a key of AWS", () => `aws_access_key_id = AKIA${random(UPPER, 16)}`],
    ["a token of GitHub", () => `token: ghp_${random(LETTERS, 36)}`],
    ["a token of GitLab", () => `glpat-${random(LETTERS, 20)}`],
    ["a token of Slack", () => `xoxb-${random("0123456789", 12)}-${random(LETTERS, 24)}`],
    ["a key of Google", () => `AIza${random(LETTERS, 35)}`],
    ["a token of npm", () => `//registry.example/:_authToken=npm_${random(LETTERS, 36)}`],
    ["a token of PyPI", () => `pypi-AgE${random(LETTERS, 60)}`],
    ["a key of Stripe", () => `sk_live_${random(LETTERS, 24)}`],
    ["a key of a model service", () => `sk-proj-${random(LETTERS, 40)}`],
    ["a JSON web token", () => `${part({ alg: "HS256" })}.${part({ id: "somebody" })}.${random(LETTERS, 43)}`],
    ["a password in a URL", () => `redis://:x@h redis://default:${random(LETTERS, 12)}@cache.example:6379/0`],
    // What `openssl rand -hex 32` and `-base64 32` give, which the README tells operators to use.
    ["a random string", () => `api_secret = "${random("0123456789abcdef", 64)}"`],
    ["a random string", () => `jwt_secret = '${random(LETTERS, 43)}='`],
  ])("%s is found where it is planted", (what, plant) => {
    expect(secretsIn(`one line\nanother: ${plant()}\n`).map((one) => [one.line, one.what])).toContainEqual([2, what]);
  });

  test("a checksum, a UUID, a path and a long name are none", () => {
    const text = [
      `id: ${crypto.randomUUID()}`,
      "test/worker/protocols/proxy-protocol/http-in-front.test.ts",
      "postV2EndpointsBulkRoutesRegister __Host-appproxy_permit_c1c1c1c1",
    ].join("\n");
    expect(secretsIn(text)).toEqual([]);
    const line = `"sha512-${random(LETTERS, 86)}=="`;
    expect([found("bun.lock", line), found("package.json", line).length]).toEqual([[], 1]);
  });
});

describe("known flaws of the packages", () => {
  /** A flaw in what runs is one of the product's; the others are told. */
  const fails = ({ severity }: Advisory) => ["high", "critical"].includes(severity);
  const told = ({ name, versions, severity, title, url }: Advisory) =>
    `${severity}: ${name} ${versions}: ${title} (${url})`;

  function asked(env: Record<string, string> = {}): { why: string } | { grave: string[]; others: string[] } {
    const [runs, all] = [auditOf(ROOT, "runtime", env), auditOf(ROOT, "all", env)];
    if (runs.why !== null) return runs;
    if (all.why !== null) return all;
    const names = new Set(runtime.map(({ name }) => name));
    const grave = runs.advisories.filter((one) => names.has(one.name) && fails(one)).map(told);
    return { grave, others: all.advisories.map(told).filter((one) => !grave.includes(one)) };
  }

  test(
    "none is high or critical in what runs",
    () => {
      const answer = asked();
      if ("why" in answer) return console.log(`skipped: the registry gives no advisories (bun audit: ${answer.why})`);
      for (const one of answer.others) console.log(one);
      expect(answer.grave).toEqual([]);
    },
    LIMIT_MS,
  );

  describe("as a registry tells them", () => {
    const flaw = (severity: string) => [{ id: 1, url: "https://advisories.example/1", title: "a flaw", severity, vulnerable_versions: "<=99.0.0" }]; // prettier-ignore
    const ADVISORIES: Record<string, object[]> = {
      ioredis: flaw("high"),
      elysia: flaw("moderate"),
      knip: flaw("critical"),
    };
    /** `bun audit` waits in this process for its end: the registry needs one of its own. */
    let registry: Bun.Subprocess<"ignore", "pipe", "inherit">;
    let url: string;
    beforeAll(async () => {
      const code = `const server = Bun.serve({ hostname: "127.0.0.1", port: 0, async fetch(request) {
        const asked = JSON.parse(new TextDecoder().decode(Bun.gunzipSync(new Uint8Array(await request.arrayBuffer()))));
        const known = ${JSON.stringify(ADVISORIES)};
        return Response.json(Object.fromEntries(Object.entries(known).filter(([name]) => name in asked)));
      } });
      console.log(server.url.href);`;
      registry = Bun.spawn([process.execPath, "-e", code], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
      const first = await registry.stdout.getReader().read();
      url = new TextDecoder().decode(first.value).trim();
    });
    afterAll(() => registry.kill());

    test("a high one in what runs fails, others are told", () => {
      expect(asked({ NPM_CONFIG_REGISTRY: url })).toEqual({
        grave: ["high: ioredis <=99.0.0: a flaw (https://advisories.example/1)"],
        others: [
          "moderate: elysia <=99.0.0: a flaw (https://advisories.example/1)",
          "critical: knip <=99.0.0: a flaw (https://advisories.example/1)",
        ],
      });
    }, LIMIT_MS); // prettier-ignore

    test("a registry that is not there is no answer", () => {
      const answer = asked({ NPM_CONFIG_REGISTRY: "http://127.0.0.1:9/" });
      expect(answer).toEqual({ why: expect.stringContaining("error") as string });
    }, LIMIT_MS); // prettier-ignore
  });
});

describe("licences", () => {
  test("all that runs has one that permits everything for its notice", () => {
    expect(runtime.length).toBeGreaterThan(40);
    const others = runtime.filter(foreign).filter((one) => PERMISSIVE[licenceOf(ROOT, one) ?? ""] === undefined);
    expect(others.map((one) => `${one.key}: ${licenceOf(ROOT, one)}`)).toEqual([]);
  });

  test("all that is installed names one", () => {
    // Those for other systems are not here.
    const installed = lockfile.packages.filter((one) => foreign(one) && !one.isForSomeSystems);
    expect(installed.filter((one) => licenceOf(ROOT, one) === null).map(({ key }) => key)).toEqual([]);
  });
});

describe("the bill of materials", () => {
  const file = join(tmpdir(), `app-proxy-sbom-${crypto.randomUUID()}.json`);
  afterAll(() => rmSync(file, { force: true }));
  const write = (...args: string[]) => Bun.spawnSync([process.execPath, "run", "sbom", ...args], { cwd: ROOT, stderr: "inherit" }); // prettier-ignore
  let text: string;
  let bom: Bom;
  beforeAll(() => {
    text = write().stdout.toString();
    bom = JSON.parse(text) as Bom;
  }, LIMIT_MS);

  test("is CycloneDX 1.6", () => {
    expect(bomFaults(bom)).toEqual([]);
  });

  test("is the same each time, on standard output and in a file", () => {
    expect(write(file).exitCode).toBe(0);
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  test("tells of each package its version, where it is from, its checksum, and its licence", () => {
    const components = new Map(bom.components.map((one) => [one["bom-ref"], one]));
    const refs = lockfile.packages.map(({ name, version, folder }) =>
      folder === null ? `pkg:npm/${name.replace("@", "%40")}@${version}` : `${name}@file:${folder}`,
    );
    expect([...components.keys()]).toEqual([...new Set(refs)].toSorted());
    for (const one of lockfile.packages.filter(foreign)) {
      const purl = `pkg:npm/${one.name.replace("@", "%40")}@${one.version}`;
      const told = components.get(purl);
      const hash = Buffer.from(String(one.integrity).replace("sha512-", ""), "base64").toString("hex");
      expect(told).toMatchObject({ version: one.version, purl, hashes: [{ alg: "SHA-512", content: hash }] });
      expect([purl, told?.licenses === undefined]).toEqual([purl, one.isForSomeSystems]);
    }
    const required = bom.components.filter(({ scope }) => scope === "required").map((one) => one["bom-ref"]);
    expect(required).toEqual(expect.arrayContaining([expect.stringContaining("/ioredis@"), expect.stringContaining("/pino@")]) as string[]); // prettier-ignore
    expect(required.filter((ref) => /\/(typescript|knip|playwright-core)@/.test(ref))).toEqual([]);
  });

  test("tells which needs which, from the product on", () => {
    const graph = new Map(bom.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn ?? []]));
    const root = bom.metadata.component["bom-ref"];
    const seen = new Set([root]);
    for (const ref of seen) for (const next of graph.get(ref) ?? []) seen.add(next);
    expect([...seen].toSorted()).toEqual([root, ...bom.components.map((one) => one["bom-ref"])].toSorted());
    const version = (name: string) => lockfile.packages.find(({ key }) => key === name)?.version;
    expect(graph.get(`pkg:npm/pino-pretty@${version("pino-pretty")}`)).toContain(
      `pkg:npm/sonic-boom@${version("pino-pretty/sonic-boom")}`,
    );
  });

  test.each<[string, (bom: Bom) => unknown]>([
    ["another version", (one) => ({ ...one, specVersion: "1.4" })],
    ["a field that is none", (one) => ({ ...one, packages: [] })],
    ["a serial number that is none", (one) => ({ ...one, serialNumber: "1" })],
    ["a component without a name", (one) => ({ ...one, components: [{ type: "library", "bom-ref": "a" }] })],
    ["a kind that is none", (one) => ({ ...one, components: [{ ...one.components[0], type: "package" }] })],
    ["a licence that is none", (one) => ({ ...one, components: [{ ...one.components[1], licenses: [{ license: { id: "Nice" } }] }] })], // prettier-ignore
    ["a checksum that is cut", (one) => ({ ...one, components: [{ ...one.components[1], hashes: [{ alg: "SHA-512", content: "ab" }] }] })], // prettier-ignore
    ["a component twice", (one) => ({ ...one, components: [...one.components, ...one.components] })],
    ["a dependency that is nowhere", (one) => ({ ...one, dependencies: [{ ref: "elsewhere" }] })],
  ])("with %s would be found out", (_, spoil) => {
    expect(bomFaults(spoil(bom))).not.toEqual([]);
  });

  test("a lock file that lacks a package is refused", () => {
    const without = read("bun.lock").replace(/^ {4}"wrappy": .*$/m, "");
    expect(() => readLockfile(without)).toThrow("once needs wrappy");
    expect(() => bomText({ direct: [], packages: [{ ...(runtime.find(foreign) as Package), integrity: "md5-x" }] }, { name: "a", version: "1", description: "" }, () => null)).toThrow("wanted one of sha1"); // prettier-ignore
  });
});
