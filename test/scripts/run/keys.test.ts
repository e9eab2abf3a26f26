/** `bun run keys`, run as an operator does: what it prints is accepted by the services, and what is there already it never shows. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { workerJwtSecret, workerSecret } from "../../../shared/protocol/worker-secret.ts";
import { loadWorkerConfig } from "../../../worker/config.ts";
import { ROOT } from "../../support/spawned.ts";

const directory = mkdtempSync(join(tmpdir(), "app-proxy-keys-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Of an installation; none of them may ever be printed. */
const OLD = { api: "the-api-secret-0123456789", jwt: "the-jwt-secret-0123456789", root: "the-worker-root-0123456789", permit: "the-permit-secret-0123456789" }; // prettier-ignore

function keys(...args: string[]): { code: number; out: string; err: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, join(ROOT, "scripts/run/keys.ts"), ...args], {
    cwd: directory,
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
  });
  const [out, err] = [stdout.toString(), stderr.toString()];
  for (const secret of Object.values(OLD)) expect(out + err).not.toContain(secret);
  return { code: exitCode, out, err };
}

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const coordinator = (path: string) => loadCoordinatorConfig(path, readFileSync(path, "utf8"), {}).values;
const worker = (path: string) => loadWorkerConfig(path, readFileSync(path, "utf8"), {}).values;

const COORDINATOR = `# ours
[proxy_coordinator]
bind_addr = "127.0.0.1:10200" # api_secret = "not this one"

[secrets] # keep them
api-secret = "${OLD.api}"   # the Manager's
jwt_secret = '${OLD.jwt}'
worker_secret = "${OLD.root}"

[logging]
level = "info"
`;
const sharing = (authority: string) => `[proxy_worker]
authority = "${authority}"
[secrets]
api_secret = "${OLD.api}"
jwt_secret = "${OLD.jwt}"
[permit_hash]
secret = "${OLD.permit}"
`;
const owning = (authority: string) => `[proxy_worker]
authority = "${authority}"
[secrets]
worker_secret = "${workerSecret(OLD.root, authority)}"
jwt_secret = "${workerJwtSecret(OLD.jwt, authority)}"
[permit_hash]
secret = "${OLD.permit}"
`;

test("new ones are for a coordinator and a worker, and different each time", () => {
  const made = [keys(), keys()];
  expect(made.map(({ code, err }) => [code, err])).toEqual([[0, ""], [0, ""]]); // prettier-ignore
  const [first = "", second = ""] = made.map(({ out }) => out);
  const [ours = "", theirs = ""] = first.split(/^# app-proxy-worker.toml.*$/m);
  const { secrets } = coordinator(file("new-coordinator.toml", ours));
  const all = [secrets.api_secret, secrets.jwt_secret, secrets.worker_secret];
  const { permit_hash } = worker(file("new-worker.toml", `${ours.replace(/^worker_secret.*$/m, "")}${theirs}`));
  for (const secret of [...all, permit_hash.secret]) {
    expect(secret).toMatch(/^[0-9a-f]{48}$/);
    expect(second).not.toContain(secret);
  }
});

describe("a worker's own", () => {
  test("are made of the coordinator's file, and let it start as itself alone", () => {
    const path = file("app-proxy-coordinator.toml", COORDINATOR);
    for (const args of [
      ["--worker", "gpu-1", "--config", path],
      ["--worker", "gpu-1"],
    ]) {
      const { code, out, err } = keys(...args);
      expect([code, err]).toEqual([0, ""]);
      const { secrets } = worker(file("own.toml", `[proxy_worker]\nauthority = "gpu-1"\n${out}`));
      expect(secrets).toMatchObject({
        api_secret: "",
        worker_secret: workerSecret(OLD.root, "gpu-1"),
        jwt_secret: workerJwtSecret(OLD.jwt, "gpu-1"),
        previous_worker_secrets: [],
      });
      expect(() => loadWorkerConfig("w.toml", `[proxy_worker]\nauthority = "gpu-2"\n${out}`, {})).toThrow('is that of the worker "gpu-1"'); // prettier-ignore
    }
  });

  test("come with those before them while the coordinator's rotate", () => {
    const more = `previous_worker_secrets = ["an-older-root-0123456789"]\nprevious_jwt_secrets = ["an-older-jwt-0123456789"]\n`;
    const path = file("rotating.toml", COORDINATOR.replace("[logging]", `${more}[logging]`));
    const { out } = keys("--worker", "gpu-1", "--config", path);
    expect(out).not.toContain("an-older");
    expect(worker(file("own.toml", `[proxy_worker]\nauthority = "gpu-1"\n${out}`)).secrets).toMatchObject({
      previous_worker_secrets: [workerSecret("an-older-root-0123456789", "gpu-1")],
      previous_jwt_secrets: [workerJwtSecret("an-older-jwt-0123456789", "gpu-1")],
    });
  });

  test("want a secret of which they are made", () => {
    const path = file("without.toml", COORDINATOR.replace(/^worker_secret.*\n/m, ""));
    const { code, out, err } = keys("--worker", "gpu-1", "--config", path);
    expect([code, out, err]).toEqual([1, "", "secrets.worker_secret: is missing in the coordinator's file; `bun run keys` makes one\n"]); // prettier-ignore
  });
});

describe("in files", () => {
  test("they rotate: equal ones stay equal, a worker's own follow, all else stays as it is", () => {
    const paths = [file("c.toml", COORDINATOR), file("w1.toml", sharing("w-1")), file("w2.toml", owning("w-2"))];
    const [c = "", w1 = "", w2 = ""] = paths;
    chmodSync(c, 0o640);
    const { code, out } = keys("--rotate", ...paths);
    expect([code, out]).toEqual([0, paths.map((path) => `${path}: new secrets, with the ones before them\n`).join("")]);
    const { secrets } = coordinator(c);
    expect(secrets).toMatchObject({
      previous_api_secrets: [OLD.api],
      previous_jwt_secrets: [OLD.jwt],
      previous_worker_secrets: [OLD.root],
    });
    const [api, jwt, root] = [secrets.api_secret, secrets.jwt_secret, secrets.worker_secret];
    expect(new Set([api, jwt, root, ...Object.values(OLD)]).size).toBe(7);
    expect(worker(w1).secrets).toMatchObject({ api_secret: api, previous_api_secrets: [OLD.api], jwt_secret: jwt, previous_jwt_secrets: [OLD.jwt] }); // prettier-ignore
    expect(worker(w2).secrets).toMatchObject({
      worker_secret: workerSecret(root, "w-2"),
      previous_worker_secrets: [workerSecret(OLD.root, "w-2")],
      jwt_secret: workerJwtSecret(jwt, "w-2"),
      previous_jwt_secrets: [workerJwtSecret(OLD.jwt, "w-2")],
    });
    // Whoever holds a permit is not to be refused.
    for (const one of [w1, w2])
      expect(worker(one).permit_hash).toMatchObject({ secret: OLD.permit, previous_secrets: [] });
    const text = readFileSync(c, "utf8");
    const [before, after] = [COORDINATOR, text].map((one) =>
      one.split("\n").filter((line) => !/secret[s]? = |-secret = /.test(line) || line.includes("not this one")),
    );
    expect(after).toEqual(before);
    expect([text.includes("# the Manager's"), (statSync(c).mode & 0o777).toString(8)]).toEqual([true, "640"]);

    // Each time once more: the newest before the older ones.
    expect(keys("--rotate", ...paths, c).code).toBe(0);
    const twice = coordinator(c).secrets;
    expect(twice).toMatchObject({ previous_api_secrets: [api, OLD.api], previous_worker_secrets: [root, OLD.root] });
    expect(worker(w2).secrets.previous_jwt_secrets).toEqual([jwt, OLD.jwt].map((one) => workerJwtSecret(one, "w-2")));

    expect(keys("--finish", "--keep", "previous_jwt_secrets", ...paths).code).toBe(0);
    expect(coordinator(c).secrets).toEqual({ ...twice, previous_api_secrets: [], previous_worker_secrets: [] });
    expect(keys("--finish", ...paths).code).toBe(0);
    expect(coordinator(c).secrets).toEqual({ ...twice, previous_api_secrets: [], previous_jwt_secrets: [], previous_worker_secrets: [] }); // prettier-ignore
    expect(worker(w2).secrets).toMatchObject({ worker_secret: workerSecret(twice.worker_secret, "w-2"), previous_worker_secrets: [] }); // prettier-ignore
  });

  test("they rotate as often as previous ones count", () => {
    const path = file("c.toml", COORDINATOR);
    for (let round = 0; round < 8; round++) expect(keys("--rotate", path).code).toBe(0);
    const before = readFileSync(path, "utf8");
    const { code, err } = keys("--rotate", path);
    expect([code, err]).toEqual([1, expect.stringContaining("previous_api_secrets: has 8 already")]);
    expect(readFileSync(path, "utf8")).toBe(before);
    expect(coordinator(path).secrets.previous_jwt_secrets.at(-1)).toBe(OLD.jwt);
  });

  test.each([
    [
      "a worker's own without what they are made of",
      owning("w-2"),
      "is a worker's own; wanted the coordinator's file with it",
    ],
    [
      "secrets in a table of one line",
      `secrets = { api_secret = "${OLD.api}", jwt_secret = "${OLD.jwt}" }\n`,
      "its secrets can't be edited",
    ],
    [
      "keys with dots",
      `secrets.api_secret = "${OLD.api}"\nsecrets.jwt_secret = "${OLD.jwt}"\n`,
      "its secrets can't be edited",
    ],
    [
      "a text over several lines",
      `[secrets]\napi_secret = """${OLD.api}"""\njwt_secret = "${OLD.jwt}"\n`,
      "its secrets can't be edited",
    ],
    ["no secrets", '[logging]\nlevel = "info"\n', "no secrets there"],
    ["no TOML", `[secrets\napi_secret = "${OLD.api}"\n`, "is not TOML"],
  ])("what can't be done is not begun: %s", (_what, text, why) => {
    const good = file("good.toml", sharing("w-1"));
    const bad = file("bad.toml", text);
    const { code, out, err } = keys("--rotate", ...(why.startsWith("no secrets") ? [bad] : [good, bad]));
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain(why);
    expect([readFileSync(bad, "utf8"), readFileSync(good, "utf8")]).toEqual([text, sharing("w-1")]);
  });
});

test.each([
  [["--rotate"], "wanted files behind them"],
  [["some.toml"], "some.toml: wanted --rotate, --finish or --worker before it"],
  [["--keep", "previous_jwt_secrets", "--rotate", "some.toml"], "wanted --finish with it"],
  [["--rotate", "--finish", "some.toml"], "wanted one of them"],
  [["--config", "some.toml"], "wanted --worker with it"],
  [["--worker", ""], "wanted a worker's authority"],
])("%j is refused", (args, why) => {
  file("app-proxy-coordinator.toml", COORDINATOR);
  const { code, out, err } = keys(...args);
  expect([code, out, err.includes(why)]).toEqual([1, "", true]);
});
