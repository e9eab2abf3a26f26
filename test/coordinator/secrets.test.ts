/** With which secret the coordinator signs for whom: the newest that all nodes of a worker know. */
import { expect, test } from "bun:test";
import { apiSecrets, eventKeys, jwtSecretFor, secretsOfWorker } from "../../coordinator/secrets.ts";
import { workerJwtSecret, workerSecret } from "../../shared/protocol/worker-secret.ts";
import { secretId } from "../../shared/runtime/secrets.ts";
import { API_KEY, coordinatorConfig, JWT_KEY } from "../support/values.ts";

const [OLDER_API, OLDER_JWT] = ["an-older-api-key-0123456789", "an-older-jwt-key-0123456789"];
const [ROOT, OLDER_ROOT] = ["a-root-of-workers-0123456789", "an-older-root-of-workers-0123"];

const env = (more: Record<string, string>) =>
  Object.fromEntries(Object.entries(more).map(([key, value]) => [`APP_PROXY_COORDINATOR__SECRETS__${key}`, value]));
const plain = coordinatorConfig().values;
const rotating = coordinatorConfig("", env({ PREVIOUS_API_SECRETS: OLDER_API, PREVIOUS_JWT_SECRETS: OLDER_JWT, WORKER_SECRET: ROOT, PREVIOUS_WORKER_SECRETS: OLDER_ROOT })).values; // prettier-ignore

test("events are signed with the api_secret alone, as long as nothing else is configured", () => {
  expect([apiSecrets(plain), secretsOfWorker(plain, "w"), eventKeys(plain).of("w")]).toEqual([
    [API_KEY],
    [],
    [API_KEY],
  ]);
});

test("events are signed with all that their worker may know, the current api_secret first", () => {
  expect(eventKeys(rotating).of("w")).toEqual([
    API_KEY,
    OLDER_API,
    workerSecret(ROOT, "w"),
    workerSecret(OLDER_ROOT, "w"),
  ]);
});

test("the previous roots of workers' secrets count also where there is no current one any more", () => {
  const { values } = coordinatorConfig("", env({ PREVIOUS_WORKER_SECRETS: OLDER_ROOT }));
  expect(secretsOfWorker(values, "w")).toEqual([workerSecret(OLDER_ROOT, "w")]);
});

const NEW = secretId(JWT_KEY);
const OLD = secretId(OLDER_JWT);
const OWN = secretId(workerJwtSecret(JWT_KEY, "w"));
const OWN_OLD = secretId(workerJwtSecret(OLDER_JWT, "w"));
const STRANGE = "00000000";

test.each<[string, (string[] | null)[], string]>([
  ["nobody has said anything", [], JWT_KEY],
  ["an older version's node", [null], JWT_KEY],
  ["a node that knows the new one", [[NEW]], JWT_KEY],
  ["a node that knows both", [[NEW, OLD]], JWT_KEY],
  ["a node that knows the old one alone", [[OLD]], OLDER_JWT],
  ["two of which one knows the old one alone", [[NEW, OLD], [OLD]], OLDER_JWT],
  ["two of which one is older than this version", [[NEW, OLD], null], JWT_KEY],
  ["a node with its own", [[OWN]], workerJwtSecret(JWT_KEY, "w")],
  ["a node with its own before", [[OWN_OLD]], workerJwtSecret(OLDER_JWT, "w")],
  ["two of which one has the shared one still", [[OWN, NEW], [NEW]], JWT_KEY],
  ["two that have nothing in common: the last one heard", [[NEW], [OLD]], JWT_KEY],
  ["two that have nothing in common, the other way round", [[OLD], [NEW]], OLDER_JWT],
  ["a node with its own, after one of an older version", [[OWN], null], workerJwtSecret(JWT_KEY, "w")],
  ["a node that knows none of ours", [[STRANGE]], JWT_KEY],
])("a token is signed for %s", (_what, known, expected) => {
  expect(jwtSecretFor(rotating, "w", known)).toBe(expected);
});

test("of lists in the file all count", () => {
  const { values } = coordinatorConfig("", env({ PREVIOUS_API_SECRETS: `${OLDER_API},${OLDER_JWT}` }));
  expect(apiSecrets(values)).toEqual([API_KEY, OLDER_API, OLDER_JWT]);
});
