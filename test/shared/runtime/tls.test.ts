/** Certificates from files: what is accepted at the start, and what happens when the files change. Real openssl. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { renameSync, rmSync, symlinkSync } from "node:fs";
import { pino } from "pino";
import { readTls, watchTls, type TlsPair } from "../../../shared/runtime/tls.ts";
import { startCertificates, type Certificates } from "../../support/certificates.ts";
import { until } from "../../support/until.ts";

let files: Certificates;
let other: Certificates;
let renewed: TlsPair[];
let said: string[];
let end: () => void;

beforeEach(() => {
  files = startCertificates("first");
  other = startCertificates("other");
  renewed = [];
  said = [];
  end = () => undefined;
});

afterEach(() => {
  end();
  files.remove();
  other.remove();
});

/** Watches; `refuse` makes the listeners refuse what they are told. */
function watch(refuse?: () => boolean): void {
  const log = pino({ level: "debug" }, { write: (line) => said.push(line) });
  end = watchTls(files, readTls(files), log, (pair) => {
    if (refuse?.() === true) throw new Error("no listener takes it");
    renewed.push(pair);
  });
}

/** Resolves when a watch that began now has looked so often. */
async function looks(count: number): Promise<void> {
  const clock = startCertificates("clock");
  let seen = 0;
  const stop = watchTls(clock, readTls(clock), pino({ level: "silent" }), () => seen++);
  for (let at = 1; at <= count; at++) {
    clock.issue(`clock-${at}`);
    await until(() => seen === at);
  }
  stop();
  clock.remove();
}

const complaints = () => said.filter((line) => line.includes("can't be used"));

describe("at the start", () => {
  test("a pair is read", () => {
    expect(readTls(files).cert).toStartWith("-----BEGIN CERTIFICATE-----");
    expect(readTls(files).key).toContain("PRIVATE KEY");
  });

  test("a key of another certificate is refused", () => {
    expect(() => readTls({ cert: files.cert, key: other.key })).toThrow("the private key is not the certificate's");
  });

  test("files that are missing or something else are refused", () => {
    expect(() => readTls({ cert: files.cert, key: "/nonexistent.pem" })).toThrow("ENOENT");
    files.write({ cert: "hello" });
    expect(() => readTls(files)).toThrow();
  });
});

describe("files that change", () => {
  test("are told of when they hold another good pair, once", async () => {
    watch();
    const second = files.issue("second");
    await until(() => renewed.length > 0);
    expect(renewed).toEqual([second]);
    const third = files.issue("third");
    await until(() => renewed.length > 1);
    expect(renewed).toEqual([second, third]);
    expect(complaints()).toEqual([]);
  });

  test("are seen behind links that are replaced, as certbot and Kubernetes do", async () => {
    for (const kind of ["cert", "key"] as const) {
      renameSync(files[kind], `${files[kind]}.real`);
      symlinkSync(`${files[kind]}.real`, files[kind]);
    }
    watch();
    for (const kind of ["cert", "key"] as const) {
      rmSync(files[kind]);
      symlinkSync(other[kind], files[kind]);
    }
    await until(() => renewed.length > 0);
    expect(renewed).toEqual([readTls(other)]);
  });

  test("and can't be used are told of once for each trouble; the old ones coming back is no renewal", async () => {
    const first = readTls(files);
    watch();
    files.write({ cert: "hello" });
    await until(() => complaints().length === 1);
    await looks(2);
    expect(complaints().length).toBe(1);
    files.write({ cert: first.cert, key: readTls(other).key });
    await until(() => complaints().length === 2);
    files.write(first);
    await looks(1);
    expect([renewed, complaints().length]).toEqual([[], 2]);
  });

  test("are tried again while they can't be taken", async () => {
    let refused = 0;
    watch(() => ++refused < 3);
    const second = files.issue("second");
    await until(() => renewed.length > 0);
    expect([renewed, complaints().length]).toEqual([[second], 1]);
  });

  test("are looked at no more after the end", async () => {
    watch();
    end();
    files.issue("second");
    await looks(1);
    expect(renewed).toEqual([]);
  });
});
