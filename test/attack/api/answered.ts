/** What Schemathesis finds and is meant to be so: each with the reason. Whatever fits none of these is a fault. */
import type { Found } from "./schemathesis.ts";

interface Answer {
  check: string;
  operations: RegExp;
  reason: string;
}

const ANSWERED: readonly Answer[] = [
  {
    check: "RejectedPositiveData",
    operations: /^GET \/v2\/proxy\/|^POST \/v2\/(proxy\/auth|conf|endpoints\/\{endpoint_id\})$/,
    reason:
      "what a schema can't say of texts: kernel_host, redirect, allowed_client_ips, allowed_origins, existing_url and JSON in a " +
      "query are judged by more than their length; and a query of documented length may be too long for a head (431)",
  },
  {
    check: "RejectedPositiveData",
    operations: /^PUT \/api\/worker$/,
    reason: "which fields belong together: a range for a worker in port mode, a domain for one in wildcard mode",
  },
  {
    check: "RejectedPositiveData",
    operations: /^POST \/v2\/endpoints\/\{endpoint_id\}\/token$/,
    reason: "exp has to be a time, and one to come",
  },
  {
    check: "RejectedPositiveData",
    operations: /^GET \/api\/circuits$/,
    reason: "after has to be the id of a circuit that is there",
  },
  {
    check: "RejectedPositiveData",
    operations: /^DELETE \/api\/circuit\/_\/bulk$/,
    reason: "ids come in many spellings, as a list or a text, in the body or the query; one of them has to be there",
  },
  {
    check: "RejectedPositiveData",
    operations: /^Stateful tests$/,
    reason: "it takes circuit_id of a slot without a circuit, which is null, and asks for the circuit `None`",
  },
  {
    check: "AcceptedNegativeData",
    operations: /^(POST|DELETE) \/v2\/endpoints\/bulk/,
    reason: "a broken entry of a call about many fails alone: the answer is 200, and says so of that entry",
  },
  {
    check: "AcceptedNegativeData",
    operations: /^GET \/v2\/proxy\//,
    reason: "431 for a query that is too long is a refusal, which its list of refusals lacks",
  },
  {
    check: "UnsupportedMethodResponse",
    operations: /^\w+ \/v2\/proxy\//,
    reason: "nobody looks at the method of a head that is too long: 431",
  },
];

/** Those that no answer is for. */
export function unanswered(found: readonly Found[]): Found[] {
  const isAnswered = ({ check, operation }: Found) => ANSWERED.some((one) => one.check === check && one.operations.test(operation)); // prettier-ignore
  return found.filter((one) => !isAnswered(one));
}
