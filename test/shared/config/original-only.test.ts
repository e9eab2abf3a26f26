/** What a file of the original may ask for and this version has not: each is told of in its own words. */
import { expect, test } from "bun:test";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { warningsOf } from "../../../shared/config/common.ts";
import { loadWorkerConfig } from "../../../worker/config.ts";

const SECRETS = '[secrets]\napi_secret = "9f2c1d7e5b8a4036"\njwt_secret = "0a9b8c7d6e5f4a3b"\n';
const PERMIT = '[permit_hash]\nsecret = "1f2e3d4c5b6a7988"\n';

test("Traefik stops the coordinator's start: its workers would get no routes", () => {
  const load = (value: string) =>
    loadCoordinatorConfig("file", `${SECRETS}[proxy_coordinator]\nenable-traefik = ${value}`, {});
  expect(() => load("true")).toThrow(
    'file: 1 fault\n  proxy_coordinator.enable_traefik: true was given; wanted false: this version does not configure Traefik. Its workers carry the traffic themselves, with frontend_mode "port" or "wildcard"',
  );
  expect(load("false").ignored).toEqual([]);
});

test("telemetry gives a warning", () => {
  const warning = "otel.enabled: true was given, but this version exports no telemetry; /metrics has figures";
  const on = "[otel]\nenabled = true\n";
  expect(warningsOf(loadCoordinatorConfig("file", `${SECRETS}${on}`, {}).values)).toEqual([warning]);
  expect(warningsOf(loadWorkerConfig("file", `${SECRETS}${PERMIT}${on}`, {}).values)).toEqual([warning]);
  expect(warningsOf(loadWorkerConfig("file", `${SECRETS}${PERMIT}`, {}).values)).toEqual([]);
});
