/** Where a model service goes: the slot that it had, the one that is wished for, or another one. */
import { Failure } from "../../shared/failure.ts";
import type { EndpointRequest } from "../../shared/protocol/schema/endpoint.ts";
import type { FilterKey } from "../../shared/protocol/schema/worker.ts";
import type { CircuitRow } from "../store/circuits.ts";
import type { ChosenSlot, SlotChooser } from "../placement/slot.ts";
import { slotOfUrl } from "./url.ts";

/** The slot of the URL that it had, when that is free; else as the request wishes. Throws what placement throws. */
export function chooseSlot(
  chooser: SlotChooser,
  id: string,
  item: EndpointRequest,
  label: string | null = null,
): ChosenSlot {
  const userId = item.tags.session.user_uuid.toLowerCase();
  const url = item.tags.endpoint.existing_url ?? "";
  const old = url === "" ? null : slotOfUrl(url, chooser.candidates);
  if (old !== null) {
    try {
      return chooser.chooseAt(old.worker, { ...old.slot, userId });
    } catch (error) {
      // Another circuit has its port by now: a new URL is better than none.
      if (!(error instanceof Failure)) throw error;
    }
  }
  return chooser.choose({
    protocol: "http",
    mode: "inference",
    userId,
    facts: { "endpoint.id": id, ...factsOf(item) },
    port: item.port ?? null,
    // A service that moves keeps its name where it can.
    subdomain: label ?? (item.subdomain || item.service_name),
    isLabel: label !== null,
  });
}

/** As `chooseSlot`, for a circuit that would have to move: any slot is better than a dead one. Null when there is none. */
export function chooseSlotOrNull(chooser: SlotChooser, row: CircuitRow, item: EndpointRequest): ChosenSlot | null {
  const { tags } = item;
  const modest = { ...item, port: null, tags: { ...tags, endpoint: { ...tags.endpoint, existing_url: null } } };
  for (const wish of [item, modest]) {
    try {
      return chooseSlot(chooser, row.endpointId ?? "", wish, row.subdomain);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }
  return null;
}

// --- internal ---

/** What workers' filters can match; what is not known matches none. */
function factsOf({ tags: { session, endpoint } }: EndpointRequest): Partial<Record<FilterKey, string>> {
  const projectId = session.project_id ?? session.group_id;
  const { runtime_variant: variant, existing_url: url } = endpoint;
  return {
    "session.user_uuid": session.user_uuid.toLowerCase(),
    ...(projectId == null ? {} : { "session.project_id": projectId.toLowerCase() }),
    ...(session.domain_name == null ? {} : { "session.domain_name": session.domain_name }),
    ...(variant == null ? {} : { "endpoint.runtime_variant": variant }),
    ...(url == null || url === "" ? {} : { "endpoint.existing_url": url }),
  };
}
