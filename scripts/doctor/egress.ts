import { createSocket } from "node:dgram";
import type { Check } from "./check.ts";

/** Addresses that are nobody's: TEST-NET-2 (RFC 5737) and the documentation prefix (RFC 3849). Only a way to everywhere leads there. */
const nobody = { udp4: "198.51.100.1", udp6: "2001:db8::1" } as const;

/** Whether anything could leave this host. Asks the kernel for a way out, as `connect` of a UDP socket does, and sends nothing. */
export async function egress(): Promise<Check> {
  const name = "egress";
  const ways = (await Promise.all([wayOf("udp4"), wayOf("udp6")])).filter((from) => from !== undefined);
  if (ways.length === 0) return { name, state: "ok", detail: "closed: this host has no way out" };
  const detail = `open: there is a way out from ${ways.join(" and ")}. Take the default route away, or see that a firewall lets nothing out`;
  return { name, state: "warn", detail };
}

/** This host's own address on the way out; undefined where there is none. */
async function wayOf(family: keyof typeof nobody): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = createSocket(family);
  socket.on("error", () => resolve(undefined));
  socket.on("connect", () => resolve(socket.address().address));
  socket.connect(9, nobody[family]);
  try {
    return await promise;
  } finally {
    socket.close();
  }
}
