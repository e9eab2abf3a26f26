/**
 * What a worker's file says, in `[proxy_worker]`, where tests open connections by the thousand from one address: whatever
 * limits their number has to let them in.
 */
export const MANY_CONNECTIONS: Record<string, unknown> = {};
