/** The name of a wildcard circuit in a host. Pure. */

/** The one label before the domain, or null: exact suffix, any case, with or without a trailing dot and a port. */
export function labelOf(host: string, domain: string): string | null {
  const name = host.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "");
  if (!name.endsWith(domain.toLowerCase())) return null;
  const label = name.slice(0, -domain.length);
  return label === "" || label.includes(".") ? null : label;
}
