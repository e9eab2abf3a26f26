/** Who may use which circuit: what requests, connections and `/setup` are judged by. Holds nothing that has to be stopped. */
import { addressMatcher } from "../../shared/http/addresses.ts";
import { createResolver } from "../../shared/runtime/resolve.ts";
import type { AdmitSettings } from "../access/authorize.ts";
import { createBearers } from "../access/bearer.ts";
import { createListed, type Listed } from "../access/cors.ts";
import { createFamilies, type Families } from "../access/families.ts";
import { createFrames, type Frames } from "../access/frames.ts";
import { createFirstUses, type FirstUses } from "../access/first-use.ts";
import { LookLinks } from "../access/look-link.ts";
import { createPermitJar } from "../access/permit-jar.ts";
import { PermitAuthority } from "../access/permit.ts";
import { createSingleUse, type SingleUse } from "../access/single-use.ts";
import { createTcpAllowlist, type TcpAllowlist } from "../access/tcp-allowlist.ts";
import { Homes } from "../circuits/homes.ts";
import type { Entry, Table } from "../circuits/table.ts";
import type { Proxies } from "../http/client-address.ts";
import { jwtSecrets } from "./secrets.ts";
import { apiAddress, circuitOrigins } from "../urls.ts";
import type { Parts } from "./parts.ts";

export interface Access {
  admission: AdmitSettings;
  /** Where browsers find a circuit. */
  origin: (entry: Entry) => string;
  /** Whose pages may call a circuit with credentials. */
  listed: Listed;
  /** Whose pages may show its app in a frame. */
  frames: Frames;
  proxies: Proxies;
  homes: Homes;
  allowlist: TcpAllowlist;
  singleUse: SingleUse;
  firstUses: FirstUses;
  /** Where clients find the worker's API over each family. */
  families: Families;
  looks: LookLinks;
}

interface AccessDeps {
  table: Table;
  /** Whether the table is all that there is by now. */
  isComplete: () => boolean;
  /** The port on which wildcard traffic is heard. Asked for with the first request. */
  wildcardPort: () => number;
  /** Where the worker's own API was opened. Asked for with the first request there. */
  apiPort: () => number;
}

export function createAccess({ config, live, log, now }: Parts, deps: AccessDeps): Access {
  const { proxy_worker: own, permit } = config;
  const { table } = deps;
  const secure = own.tls_advertised || own.tls_listen;
  const originOf = circuitOrigins(config, deps.wildcardPort);
  const origin = ({ circuit }: Entry) => originOf(circuit);
  const listed = createListed({ table, everywhere: own.allowed_origins, domain: own.wildcard_domain.domain, origin });
  const permits = new PermitAuthority(config.permit_hash, { authority: own.authority, compact: permit.compact });
  const cookie = { secure, sameSite: permit.same_site };
  return {
    admission: {
      permits,
      own: (entry) => ({ origin: origin(entry), lists: (theirs: string) => listed(entry, theirs) }),
      jar: createPermitJar({ permits, table, cookie, complete: deps.isComplete, now }),
      bearers: createBearers(jwtSecrets(config), now),
      ...cookie,
      acceptLegacy: permit.accept_legacy,
      lifetime: permit.lifetime,
      now,
    },
    origin,
    listed,
    frames: createFrames(own.frame_ancestors, own.allowed_origins, listed),
    proxies: { trusted: addressMatcher(own.trusted_proxies), secure },
    homes: new Homes(own.home_url),
    allowlist: createTcpAllowlist(live, log, now),
    singleUse: createSingleUse(live, log, now),
    firstUses: createFirstUses(live, log, now),
    families: createFamilies({
      scheme: own.tls_advertised ? "https" : "http",
      advertised: () => apiAddress(config, deps.apiPort()),
      ipv4: own.api_advertised_addr_ipv4,
      ipv6: own.api_advertised_addr_ipv6,
      resolve: createResolver(),
    }),
    looks: new LookLinks([config.permit_hash.secret, ...config.permit_hash.previous_secrets]),
  };
}
