import { readFileSync } from "node:fs";
import { connect } from "node:net";
import type { Check } from "./check.ts";

/** Addresses that are nobody's: TEST-NET-1 (RFC 5737) and the documentation prefix (RFC 3849). */
const nobody = ["192.0.2.1", "2001:db8::1"] as const;
const answerMs = 1_000;

/** Flag of a route that refuses what goes there (linux/route.h). */
const reject = 0x200;

/** Whether anything could leave this host: by its routing tables, and by two connections to addresses that are nobody's. */
export async function egress(): Promise<Check> {
  const routes = defaultRoutes(readIfThere("/proc/net/route"), readIfThere("/proc/net/ipv6_route"));
  const ends = await Promise.all(nobody.map(async (address) => ({ address, end: await endOf(address) })));
  const left = ends.filter(({ end }) => end === "left this host");
  const tried = ends.map(({ address, end }) => `${address}: ${end}`).join(", ");
  if (routes.length === 0 && left.length === 0) return { name: "egress", state: "ok", detail: `closed: no default route (${tried})` };
  const why = routes.length > 0 ? `a default route by ${routes.join(" and ")}` : "a connection went out";
  return { name: "egress", state: "warn", detail: `open: ${why} (${tried}). Take the route away, or see that a firewall lets nothing out` };
}

/** Interfaces of the default routes, from the text of `/proc/net/route` and `/proc/net/ipv6_route`. */
export function defaultRoutes(ipv4: string, ipv6: string): string[] {
  const rows = (text: string): string[][] => text.split("\n").map((line) => line.trim().split(/\s+/u));
  const four = rows(ipv4)
    .filter(([, destination, , flags = "", , , , mask]) => isZero(destination) && isZero(mask) && !isRejected(flags))
    .map(([name = ""]) => name);
  const six = rows(ipv6)
    .filter(
      ([destination, length, , , , , , , flags = "", name]) => isZero(destination) && isZero(length) && !isRejected(flags) && name !== "lo",
    )
    .map((row) => row[9] ?? "");
  return [...new Set([...four, ...six])];
}

function isZero(hex: string | undefined): boolean {
  return hex !== undefined && /^0+$/u.test(hex);
}

function isRejected(flags: string): boolean {
  return (Number.parseInt(flags, 16) & reject) !== 0;
}

/** No answer, or one by whoever is there, means that the packet went out; any other error is this host's or its router's own. */
async function endOf(address: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host: address, port: 443, timeout: answerMs });
  socket.on("connect", () => resolve("left this host"));
  socket.on("timeout", () => resolve("left this host"));
  socket.on("error", ({ code }: NodeJS.ErrnoException) =>
    resolve(code === "ECONNREFUSED" || code === "ECONNRESET" ? "left this host" : `${code}`),
  );
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a kernel without IPv6
  }
}
