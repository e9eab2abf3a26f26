/** Keys of the worker's configuration that contradict each other. Called by config.ts when it is read. Pure. */
import { isIP } from "node:net";
import type { Fault } from "../../shared/config/load.ts";
import { isUrlHost } from "../../shared/http/host.ts";
import { authorityOf } from "../../shared/protocol/worker-secret.ts";
import { hostPort, type Address } from "../../shared/values.ts";
import type { WorkerConfig } from "./table.ts";

/** The coordinator would refuse each call, or take them for another worker's. */
export function ownSecretFaults({ secrets, proxy_worker: { authority } }: WorkerConfig): Fault[] {
  return Object.entries({
    "secrets.worker_secret": secrets.worker_secret === "" ? [] : [secrets.worker_secret],
    "secrets.previous_worker_secrets": secrets.previous_worker_secrets,
  }).flatMap(([key, given]) => {
    const wrong = given.find((secret) => authorityOf(secret) !== authority);
    if (wrong === undefined) return [];
    const named = authorityOf(wrong);
    const got = named === null ? "is no worker's own secret" : `is that of the worker ${JSON.stringify(named)}`;
    return [{ key, message: `${got}; wanted what \`bun run keys --worker ${authority}\` prints` }];
  });
}

/** Browsers drop a cookie for frames that is not `Secure`: nobody would get in. */
export function frameFaults({ permit, proxy_worker: { tls_advertised: secure } }: WorkerConfig): Fault[] {
  if (permit.same_site !== "none" || secure) return [];
  return [
    {
      key: "permit.same_site",
      message: '"none" was given without TLS; wanted tls_listen or tls_advertised = true with it, or "lax"',
    },
  ];
}

/** Of several processes each would be given another port. */
export function sharedPortFaults({ proxy_worker: worker }: WorkerConfig): Fault[] {
  if (worker.processes === 1) return [];
  const addresses = {
    "proxy_worker.api_bind_addr": worker.api_bind_addr,
    ...(worker.frontend_mode === "wildcard"
      ? { "proxy_worker.wildcard_domain.bind_addr": worker.wildcard_domain.bind_addr }
      : {}),
  };
  return Object.entries(addresses).flatMap(([key, { port }]) =>
    port === 0 ? [{ key, message: "port 0 was given; wanted a port that several processes can share" }] : [],
  );
}

/** An address of the other family, or one place for both: a second look would see nothing new. */
export function familyFaults({ proxy_worker: worker }: WorkerConfig): Fault[] {
  const { api_advertised_addr_ipv4: ipv4, api_advertised_addr_ipv6: ipv6 } = worker;
  const faults: Fault[] = [];
  const judge = (key: string, address: Address | null, other: 4 | 6) => {
    if (address === null) return;
    const wanted = `wanted a name, or an address, of IPv${other === 4 ? 6 : 4} alone, and its port`;
    if (isIP(address.host) === other || !isUrlHost(address.host) || address.port === 0)
      faults.push({ key: `proxy_worker.${key}`, message: `"${hostPort(address)}" was given; ${wanted}` });
  };
  judge("api_advertised_addr_ipv4", ipv4, 6);
  judge("api_advertised_addr_ipv6", ipv6, 4);
  if (ipv4 !== null && ipv6 !== null && hostPort(ipv4).toLowerCase() === hostPort(ipv6).toLowerCase())
    faults.push({
      key: "proxy_worker.api_advertised_addr_ipv6",
      message: `"${hostPort(ipv6)}" is api_advertised_addr_ipv4 too; wanted one that leads over IPv6 alone`,
    });
  return faults;
}

/** A PROXY header of nobody, or where the engine can't read one. */
export function proxyHeaderFaults({ proxy_worker: worker }: WorkerConfig): Fault[] {
  if (!worker.accept_proxy_protocol) return [];
  const key = "proxy_worker.accept_proxy_protocol";
  const faults: Fault[] = [];
  if (worker.trusted_proxies.length === 0) {
    faults.push({
      key,
      message: "true was given without proxy_worker.trusted_proxies; wanted there who sends the PROXY header",
    });
  }
  if (worker.engine === "serve" && worker.protocol !== "tcp") {
    faults.push({
      key,
      message: `true was given with engine "serve" and protocol "${worker.protocol}"; wanted engine "sockets" or protocol "tcp": Bun's own server can't read the PROXY header`,
    });
  }
  return faults;
}

/** What people reach apps by is missing, or contradicts itself. */
export function frontendFaults({ proxy_worker: worker }: WorkerConfig): Fault[] {
  const faults: Fault[] = [];
  if (!URL.canParse(worker.coordinator_endpoint) || !/^https?:/.test(worker.coordinator_endpoint)) {
    faults.push({
      key: "proxy_worker.coordinator_endpoint",
      message: `"${worker.coordinator_endpoint}" was given; wanted an http or https URL`,
    });
  }
  if (worker.frontend_mode === "wildcard") {
    if (worker.protocol === "tcp") {
      faults.push({
        key: "proxy_worker.frontend_mode",
        message: '"wildcard" was given with protocol "tcp"; wanted "port": raw TCP names no host',
      });
    }
    if (worker.wildcard_domain.domain === null) {
      faults.push({
        key: "proxy_worker.wildcard_domain.domain",
        message: "is missing; wanted a domain, because frontend_mode is wildcard",
      });
    }
    return faults;
  }
  const { bind_port_range: bound, advertised_port_range: advertised } = worker.port_proxy;
  if (bound === null)
    return [...faults, { key: "proxy_worker.port_proxy.bind_port_range", message: "is missing; wanted [first, last]" }];
  if (advertised !== null && advertised[1] - advertised[0] !== bound[1] - bound[0]) {
    faults.push({
      key: "proxy_worker.port_proxy.advertised_port_range",
      message: `[${advertised.join(", ")}] was given; wanted as many ports as bind_port_range [${bound.join(", ")}]`,
    });
  }
  return faults;
}
