import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";

/** What the start found when it tried to leave this host. */
export interface Egress {
  readonly refused: boolean;
  /** Those that are open. */
  readonly ways: readonly string[];
}

/** Addresses that are nobody's: TEST-NET-2 (RFC 5737) and the documentation prefix (RFC 3849). Only a way to everywhere leads there. */
const nobody = { udp4: "198.51.100.1", udp6: "2001:db8::1" } as const;

/** In a domain that is reserved (RFC 2606): whoever knows that it does not exist has asked the world. */
const nobodysName = "sallyport-egress-test.example.com";

/**
 * Tries to leave: over IPv4 and IPv6 (asks the kernel for a way, as `connect` of a UDP socket does, and sends nothing), by asking the host's resolver for a
 * name, and looks for a proxy in the environment. At most half a second.
 */
export async function testEgress(env: NodeJS.ProcessEnv = process.env): Promise<Egress> {
  const [ipv4, ipv6, dns] = await Promise.all([hasWay("udp4"), hasWay("udp6"), resolverAsksTheWorld()]);
  const proxies = Object.keys(env).filter((name) => /^(?:https?|all)_proxy$/iu.test(name) && env[name]);
  const ways = [...(ipv4 ? ["IPv4"] : []), ...(ipv6 ? ["IPv6"] : []), ...(dns ? ["DNS"] : []), ...proxies.map((name) => `proxy (${name})`)];
  return { refused: ways.length === 0, ways };
}

async function hasWay(family: keyof typeof nobody): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createSocket(family);
  socket.on("error", () => resolve(false));
  socket.on("connect", () => resolve(true));
  socket.connect(9, nobody[family]);
  try {
    return await promise;
  } finally {
    socket.close();
  }
}

/** A resolver that answers for itself alone says SERVFAIL or REFUSED. */
async function resolverAsksTheWorld(): Promise<boolean> {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  try {
    await resolver.resolve4(nobodysName);
    return true;
  } catch (error) {
    return ["ENOTFOUND", "ENODATA"].includes((error as NodeJS.ErrnoException).code ?? "");
  } finally {
    resolver.cancel();
  }
}
